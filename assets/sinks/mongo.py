"""Rows in MongoDB, one document each, whose ``_id`` is the table's key.

Belongs here: the document, writing and reading back. Does not: the connection
(``resources/mongo.py``), any collection.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from assets.frame.tables import ROW_HASH, Table
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import polars as pl
    from pymongo.collection import Collection

    from landing.batch.delivery import Delivery

Document = dict[str, Any]

BATCH_ROWS = 1_000
#: Ids per ``$in``: short lists cost a round trip each, which is little next to what long ones
#: cost servers that walk the list for every document.
VERIFY_IDS = 50
#: Read the whole collection in one go when the batch is at least this part of it, and its keys and
#: hashes fit into some 100 MB.
_SCAN_SHARE = 0.25
_SCAN_ROWS = 400_000

#: Documents per answer of a server: 100 bytes each.
_READ_DOCUMENTS = 10_000
_DUPLICATE_KEY = 11000


def upsert(
    collection: Collection[Document],
    delivery: Delivery,
    table: Table,
    *,
    exact: Sequence[str] = (),
) -> tuple[SinkResult, Verification]:
    """Write the delivery's rows, then read them back. Arguments and errors are those of both."""
    return (
        write(delivery.chunks(), collection, table, exact=exact),
        verify(delivery.chunks(), collection, table, rows=delivery.row_count),
    )


def write(
    chunks: Iterable[pl.DataFrame],
    collection: Collection[Document],
    table: Table,
    *,
    exact: Sequence[str] = (),
) -> SinkResult:
    """Insert or replace one document per row: the table's columns, and its one key as ``_id``.

    A MongoDB date keeps milliseconds only: columns of ``exact`` are kept as ``<name>_us`` too, in
    microseconds since 1970. The collection should acknowledge by majority and journal
    (``resources.mongo.durable``). Raises pymongo.errors.PyMongoError; what was acknowledged before
    stays and is replaced by the same when the batch is written again.
    """
    started = time.monotonic()
    written = unchanged = 0
    mostly_new = True
    for chunk in chunks:
        for rows in chunk.iter_slices(BATCH_ROWS):
            documents = list(_documents(rows, table, exact))
            # An insert costs a fraction of an upsert, which looks its document up first.
            there = _insert(collection, documents) if mostly_new else documents
            mostly_new = len(there) < len(documents) / 2
            unchanged += _replace(collection, there)
            written += rows.height
    return SinkResult(written, unchanged, 0, time.monotonic() - started)


def verify(
    chunks: Iterable[pl.DataFrame], collection: Collection[Document], table: Table, *, rows: int
) -> Verification:
    """Read every row's document back and compare its hash. ``rows`` is about how many there are."""
    if collection.estimated_document_count() * _SCAN_SHARE <= rows <= _SCAN_ROWS:
        expected: dict[str, str] = {}
        for chunk in chunks:
            expected |= _expected(chunk, table)
        hashes = _hashes(collection, {})
        return compared(expected, {key: row for key, row in hashes if key in expected})
    total = Verification()
    for chunk in chunks:
        expected = _expected(chunk, table)
        total = total.plus(compared(expected, _by_id(collection, list(expected))))
    return total


def _expected(chunk: pl.DataFrame, table: Table) -> dict[str, str]:
    (key,) = table.key
    return dict(zip(chunk[key], chunk[ROW_HASH.name], strict=True))


def _insert(collection: Collection[Document], documents: list[Document]) -> list[Document]:
    """Insert what is new; returns those whose id is there already."""
    from pymongo.errors import BulkWriteError

    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        refused = error.details["writeErrors"]
        if error.details.get("writeConcernErrors") or any(
            one["code"] != _DUPLICATE_KEY for one in refused
        ):
            raise
        return [documents[one["index"]] for one in refused]
    return []


def _replace(collection: Collection[Document], documents: list[Document]) -> int:
    """Replace or insert; returns how many were there already, equal."""
    from pymongo import ReplaceOne

    if not documents:
        return 0
    result = collection.bulk_write(
        [ReplaceOne({"_id": doc["_id"]}, doc, upsert=True) for doc in documents], ordered=False
    )
    return int(result.matched_count - result.modified_count)


def _documents(rows: pl.DataFrame, table: Table, exact: Sequence[str]) -> Iterator[Document]:
    import polars as pl

    (key,) = table.key
    microseconds = [pl.col(name).dt.epoch("us").alias(f"{name}_us") for name in exact]
    for row in rows.select(*table.names, *microseconds).iter_rows(named=True):
        yield {"_id": row[key], **row}


def _by_id(collection: Collection[Document], ids: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(ids), VERIFY_IDS):
        found |= _hashes(collection, {"_id": {"$in": ids[start : start + VERIFY_IDS]}})
    return found


def _hashes(collection: Collection[Document], query: Document) -> Iterator[tuple[str, str]]:
    """Id and hash of every document."""
    for document in collection.find(query, {ROW_HASH.name: 1}, batch_size=_READ_DOCUMENTS):
        yield document["_id"], document.get(ROW_HASH.name, "")
