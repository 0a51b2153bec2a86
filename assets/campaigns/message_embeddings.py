"""One vector per message in Milvus, keyed by record id.

Belongs here: which records have one, and how they are written and read back. Does not: how a
message becomes a vector (``assets/embeddings.py``) and the collection (``assets/sinks/milvus.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from assets.campaigns.tables import MESSAGE_EMBEDDINGS
from assets.embeddings import EmbeddingResult, Space, embedder
from assets.sinks.milvus import BATCH_ROWS, IndexKind, VectorStore
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import polars as pl
    from pymilvus import MilvusClient

    from assets.embeddings import VectorCache
    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource


def store(client: MilvusClient, name: str, space: Space, index: IndexKind = "FLAT") -> VectorStore:
    """The collection: record_id, user_id, row_hash, vector."""
    return VectorStore(client, name, space, MESSAGE_EMBEDDINGS, index)


def distinct_messages(chunk: pl.DataFrame) -> dict[str, str]:
    """The chunk's distinct messages, by their hash."""
    rows = chunk.select("message_hash", "message").drop_nulls().unique("message_hash")
    return dict(rows.sort("message_hash").iter_rows())


def write(
    chunks: Iterable[pl.DataFrame],
    collection: VectorStore,
    pg: PostgresResource,
    openai: OpenAIResource,
) -> SinkResult:
    """Embed what is new, upsert a vector for every row with a message, delete the other rows'.

    ``details``: embedded, calls, tokens. Raises what the three servers'
    clients raise, PermanentError for another model.
    """
    started = time.monotonic()
    collection.ensure()
    written = deleted = 0
    paid = EmbeddingResult()
    with embedder(pg, openai) as (filler, cache):
        for chunk in chunks:
            paid = paid.plus(filler.ensure(distinct_messages(chunk)))
            with_text, without = _split(chunk)
            for rows in with_text.iter_slices(BATCH_ROWS):
                _upsert(rows, collection, cache)
            written += with_text.height
            deleted += collection.delete(without["record_id"].to_list())
    collection.flush()
    return SinkResult(written, 0, deleted, time.monotonic() - started, paid.details)


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


def _split(chunk: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    import polars as pl

    has_text = pl.col("message_hash").is_not_null()
    return chunk.filter(has_text), chunk.filter(~has_text)


def _upsert(rows: pl.DataFrame, collection: VectorStore, cache: VectorCache) -> None:
    vectors = cache.required(rows["message_hash"])
    columns = rows.select("record_id", "user_id", "row_hash", "message_hash")
    collection.upsert(
        [
            {"record_id": key, "user_id": user, "row_hash": row, "vector": vectors[message]}
            for key, user, row, message in columns.iter_rows()
        ]
    )
