"""Rows in MongoDB, one document each, whose ``_id`` is the table's key.

Belongs here: the document, writing and reading back. Does not: the connection
(``resources/mongo.py``), any collection.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from assets.frame.tables import ROW_HASH, Table
from assets.sinks.isolating import Isolating, Refusal
from assets.sinks.result import SinkResult, Verification, compared
from resources import retryable

if TYPE_CHECKING:
    import polars as pl
    from pymongo.collection import Collection

    from landing.batch.delivery import Delivery

Document = dict[str, Any]

#: Documents per write, and bytes of their texts: a message may have 48 MB, a document 16 MB.
BATCH_ROWS = 1_000
BATCH_BYTES = 16 * 1024 * 1024
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
#: Codes of a document that is too large, and of who asks, which no document is at fault for.
_TOO_LARGE = frozenset({10334, 17280, 17419, 17420})
_RIGHTS = frozenset({11, 13, 18, 31, 8000})


def upsert(
    collection: Collection[Document],
    delivery: Delivery,
    table: Table,
    *,
    exact: Sequence[str] = (),
) -> tuple[SinkResult, Verification]:
    """Write the delivery's rows, then read them back. Arguments and errors are those of both."""
    return (
        write(delivery.chunks(), collection, table, exact=exact, refuse=delivery.refuse),
        verify(delivery.taken(), collection, table, rows=delivery.row_count),
    )


def write(
    chunks: Iterable[pl.DataFrame],
    collection: Collection[Document],
    table: Table,
    *,
    exact: Sequence[str] = (),
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Insert or replace one document per row: the table's columns, and its one key as ``_id``.

    A MongoDB date keeps milliseconds only: columns of ``exact`` are kept as ``<name>_us`` too, in
    microseconds since 1970. The collection should acknowledge by majority and journal
    (``resources.mongo.durable``). ``refuse`` is told of documents that MongoDB does not take, too
    large ones or against a rule of the collection, when it takes others. Raises
    pymongo.errors.PyMongoError; what was acknowledged before stays and is replaced by the same when
    the batch is written again.
    """
    from assets.sinks.slices import slices

    started = time.monotonic()
    upserts = _Upserts(collection, refuse)
    written = 0
    for chunk in chunks:
        for rows in slices(chunk, rows=BATCH_ROWS, size=BATCH_BYTES):
            upserts.isolating.write(list(_documents(rows, table, exact)), upserts.write)
            written += rows.height
    upserts.isolating.settle()
    seconds = time.monotonic() - started
    return SinkResult(written - upserts.refused, upserts.unchanged, 0, seconds)


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


class _Upserts:
    """The writes of one batch, and what came of them."""

    def __init__(
        self, collection: Collection[Document], refuse: Callable[[str, str], None] | None
    ) -> None:
        self._collection, self._refuse = collection, refuse
        self.isolating: Isolating[list[Document]] = Isolating(
            _refusal, self._refused if refuse else None
        )
        self.unchanged = self.refused = 0
        self._mostly_new = True

    def write(self, documents: list[Document]) -> None:
        """Write the documents; those that the server singles out are suspects."""
        # An insert costs a fraction of an upsert, which looks its document up first.
        there = self._insert(documents) if self._mostly_new else documents
        self._mostly_new = len(there) < len(documents) / 2
        self._replace(there)

    def _insert(self, documents: list[Document]) -> list[Document]:
        """Insert what is new; returns those whose id is there already."""
        from pymongo.errors import BulkWriteError

        try:
            self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            errors = error.details["writeErrors"]
            other = [one for one in errors if one["code"] != _DUPLICATE_KEY]
            self._suspect(error, documents, other, taken=len(documents) - len(other))
            return [documents[one["index"]] for one in errors if one["code"] == _DUPLICATE_KEY]
        return []

    def _replace(self, documents: list[Document]) -> None:
        """Replace or insert; counts those that were there already, equal."""
        from pymongo import ReplaceOne
        from pymongo.errors import BulkWriteError

        if not documents:
            return
        requests = [ReplaceOne({"_id": doc["_id"]}, doc, upsert=True) for doc in documents]
        try:
            result = self._collection.bulk_write(requests, ordered=False)
            self.unchanged += result.matched_count - result.modified_count
        except BulkWriteError as error:
            errors, told = error.details["writeErrors"], error.details
            self._suspect(error, documents, errors, taken=len(documents) - len(errors))
            self.unchanged += told["nMatched"] - told["nModified"]

    def _suspect(
        self, error: Any, documents: list[Document], errors: list[Any], *, taken: int
    ) -> None:
        """Errors of single documents. Raises ``error`` when one of them is none of data."""
        if error.details.get("writeConcernErrors") or any(
            retryable.mongo(one["code"]) is not False or one["code"] in _RIGHTS for one in errors
        ):
            raise error
        if taken:
            self.isolating.got_through()
        for one in errors:
            said = Refusal(f"{one['code']}: {one['errmsg']}", certain=one["code"] in _TOO_LARGE)
            self.isolating.suspect([documents[one["index"]]], said, error)

    def _refused(self, documents: list[Document], detail: str) -> None:
        self.refused += len(documents)
        if self._refuse:
            self._refuse(documents[0]["_id"], detail)


def _refusal(error: Exception) -> Refusal | None:
    """What the client itself says of a document, before it sends any."""
    from bson.errors import BSONError
    from pymongo.errors import DocumentTooLarge

    if isinstance(error, DocumentTooLarge | BSONError | OverflowError):
        return Refusal(f"{type(error).__name__}: {error}", certain=True)
    return None


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
