"""The raw, auditable, replayable record: every winner as one MongoDB document.

Belongs here: the document and how it is written and read back. Does not: the connection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from assets.sink_result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import polars as pl
    from pymongo.collection import Collection

Document = dict[str, Any]

BATCH_ROWS = 1_000
#: Ids per ``$in``: short lists cost a round trip each, which is little next to what long ones
#: cost servers that walk the list for every document.
VERIFY_IDS = 50
#: Read a range of the collection in one go when the batch is at least this part of it.
_SCAN_SHARE = 0.25

FIELDS = ("record_id", "user_id", "message", "campaign", "timestamp", "ingested_at", "row_hash",
          "source", "line")  # fmt: skip


def write(chunks: Iterable[pl.DataFrame], collection: Collection[Document]) -> SinkResult:
    """Replace or insert one document per row, ``_id`` being the record id.

    The collection should acknowledge by majority and journal (``resources.mongo.durable``).
    Raises pymongo.errors.PyMongoError; what was acknowledged before stays and is replaced by the
    same when the batch is written again.
    """
    from pymongo import ReplaceOne

    started = time.monotonic()
    written = unchanged = 0
    for chunk in chunks:
        for rows in chunk.iter_slices(BATCH_ROWS):
            result = collection.bulk_write(
                [ReplaceOne({"_id": doc["_id"]}, doc, upsert=True) for doc in _documents(rows)],
                ordered=False,
            )
            written += rows.height
            unchanged += result.matched_count - result.modified_count
    return SinkResult(written, unchanged, 0, time.monotonic() - started)


def verify(chunks: Iterable[pl.DataFrame], collection: Collection[Document]) -> Verification:
    """Read every row's document back and compare its hash."""
    total = Verification()
    documents = collection.estimated_document_count()
    for chunk in chunks:
        expected = dict(zip(chunk["record_id"], chunk["row_hash"], strict=True))
        scan = bool(expected) and chunk.height >= documents * _SCAN_SHARE
        found = _range(collection, expected) if scan else _by_id(collection, list(expected))
        total = total.plus(compared(expected, found))
    return total


def _documents(rows: pl.DataFrame) -> Iterator[Document]:
    """``timestamp_us``: microseconds since 1970, for a MongoDB date keeps milliseconds only."""
    import polars as pl

    exact = pl.col("timestamp").dt.epoch("us").alias("timestamp_us")
    for row in rows.select(*FIELDS, exact).iter_rows(named=True):
        yield {"_id": row["record_id"], **row}


def _by_id(collection: Collection[Document], ids: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), VERIFY_IDS):
        query = {"_id": {"$in": ids[start : start + VERIFY_IDS]}}
        found |= {doc["_id"]: doc.get("row_hash", "") for doc in _hashes(collection, query)}
    return found


def _range(collection: Collection[Document], expected: dict[str, str]) -> dict[str, str]:
    query = {"_id": {"$gte": min(expected), "$lte": max(expected)}}
    return {
        doc["_id"]: doc.get("row_hash", "")
        for doc in _hashes(collection, query)
        if doc["_id"] in expected
    }


def _hashes(collection: Collection[Document], query: Document) -> Iterable[Document]:
    return collection.find(query, {"row_hash": 1})
