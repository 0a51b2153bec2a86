"""One vector per message in Milvus, keyed by record id.

Belongs here: which records have one, and how they are written and read back. Does not: how a
message becomes a vector (``assets/embeddings.py``) and the collection (``assets/sinks/milvus.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from assets.campaigns.tables import MESSAGE_EMBEDDINGS
from assets.embeddings import EmbeddingResult, Space, embedder
from assets.sinks.milvus import BATCH_ROWS, Row, VectorStore
from assets.sinks.milvus_index import Index
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import polars as pl
    from pymilvus import MilvusClient

    from assets.embeddings import VectorCache
    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource


def store(client: MilvusClient, name: str, space: Space, index: str = "auto") -> VectorStore:
    """The collection: record_id, user_id, row_hash, vector."""
    return VectorStore(client, name, space, MESSAGE_EMBEDDINGS, Index.parse(index))


def distinct_messages(chunk: pl.DataFrame) -> dict[str, str]:
    """The chunk's distinct messages, by their hash."""
    rows = chunk.select("message_hash", "message").drop_nulls().unique("message_hash")
    return dict(rows.sort("message_hash").iter_rows())


def write(
    chunks: Iterable[pl.DataFrame],
    collection: VectorStore,
    pg: PostgresResource,
    openai: OpenAIResource,
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Embed what is new, upsert a vector for every row with a message, delete the other rows'.

    ``refuse`` is told of records whose text the API refuses, or whose row Milvus does, while they
    take others; such a record has no vector. ``details``: embedded, calls, tokens. Raises what the
    three servers' clients raise, PermanentError for another model.
    """
    started = time.monotonic()
    collection.ensure()
    written = deleted = 0
    paid = EmbeddingResult()
    #: Records that Milvus refused.
    refused: list[str] = []

    def by_milvus(key: str, detail: str) -> None:
        refused.append(key)
        if refuse:
            refuse(key, detail)

    isolating = collection.isolating(by_milvus if refuse else None)
    with embedder(pg, openai) as (filler, cache):
        for chunk in chunks:
            texts: dict[str, str] = {}
            paid = paid.plus(filler.ensure(distinct_messages(chunk), texts if refuse else None))
            with_text, without = _split(chunk, list(texts))
            for key, text in without.select("record_id", "message_hash").iter_rows():
                if refuse and text is not None:
                    refuse(key, f"{openai.embedding_model}: {texts[text]}")
            for rows in with_text.iter_slices(BATCH_ROWS):
                isolating.write(_rows(rows, cache), collection.upsert)
            written += with_text.height
            deleted += collection.delete(without["record_id"].to_list())
    isolating.settle()
    # What they said before is not what they say now.
    deleted += collection.delete(refused)
    collection.flush()
    seconds = time.monotonic() - started
    return SinkResult(written - len(refused), 0, deleted, seconds, paid.details)


def verify(
    chunks: Iterable[pl.DataFrame], collection: VectorStore, pg: PostgresResource
) -> Verification:
    """Every row with a message has a vector with its hash, and no other row has one.

    A few vectors per chunk are compared with the cached ones, number by number.
    """
    from assets.embeddings import VectorCache

    total = Verification()
    with pg.connect(autocommit=True) as connection:
        cache = VectorCache(connection, collection.space)
        for chunk in chunks:
            with_text, without = _split(chunk)
            absent = without["record_id"].to_list()
            found = collection.hashes([*with_text["record_id"], *absent])
            expected = dict(with_text.select("record_id", "row_hash").iter_rows())
            total = total.plus(compared(expected, found, absent))
            texts = with_text.select("record_id", "message_hash").iter_rows()
            # Another hash has been counted.
            same = {key: text for key, text in texts if found.get(key) == expected[key]}
            total = total.plus(collection.sampled(same, cache))
    return total


def _split(chunk: pl.DataFrame, refused: Sequence[str] = ()) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that have a vector, and those that have none: without a text, or a refused one."""
    import polars as pl

    text = pl.col("message_hash")
    has_vector = text.is_not_null() & ~text.is_in(refused).fill_null(value=False)
    return chunk.filter(has_vector), chunk.filter(~has_vector)


def _rows(rows: pl.DataFrame, cache: VectorCache) -> list[Row]:
    vectors = cache.required(rows["message_hash"])
    columns = rows.select("record_id", "user_id", "row_hash", "message_hash")
    return [
        {"record_id": key, "user_id": user, "row_hash": row, "vector": vectors[message]}
        for key, user, row, message in columns.iter_rows()
    ]
