"""The rejected rows of many batches as one list, from the quarantine's Parquet objects.

Belongs here: their order and their pages. Does not: an object's shape (``quarantine.py``), how a
bucket is opened.

A row's place is its batch and its number in the batch's object, which is written once for each
validation. An object that is not in its bucket any more is one row that says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple, dataclass, fields
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any

from landing.batch import quarantine
from landing.stores.base import ObjectStore
from resources.keyset import BLOCK_ROWS, Page, cursor_of, values_of

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Reads a bucket of the pipeline's source.
Opening = Callable[[str, str, str], AbstractContextManager[ObjectStore]]

#: The reason of the one row that stands for an object that is gone.
GONE = "quarantine_gone"
_BATCHES_AT_ONCE = 100
_BATCHES = """
SELECT q.batch_id, b.pipeline, b.source, q.bucket, q.key, o.version
FROM landing.quarantine q JOIN landing.batch b USING (batch_id)
LEFT JOIN (
    SELECT batch_id, version FROM landing.object_version
    WHERE source = %(source)s AND key = %(object)s
        AND (%(version)s::text IS NULL OR version = %(version)s)
    ORDER BY seq DESC LIMIT 1
) AS o USING (batch_id)
WHERE (%(object)s::text IS NULL OR o.batch_id IS NOT NULL)
    AND (%(source)s::text IS NULL OR b.source = %(source)s)
    AND (%(batch)s::text IS NULL OR q.batch_id = %(batch)s)
    AND (%(last)s::text IS NULL OR q.batch_id < %(last)s)
    AND (%(reason)s::text IS NULL OR q.reasons ? %(reason)s)
ORDER BY q.batch_id DESC LIMIT %(limit)s
"""
_COLUMNS = (
    "source", "key", "version", "line", "reason", "detail", "kept_line", "text", "truncated",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A rejected row, or an object that was rejected as a whole, which has no ``line``.

    ``object`` is the object version's URI, ``text`` what stood there, cut if ``truncated``,
    ``kept_line`` the line of the row that was kept in its place.
    """

    batch_id: str
    number: int
    pipeline: str
    source: str
    object: str
    key: str
    version: str
    line: int | None
    reason: str
    detail: str | None
    kept_line: int | None
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class RejectedRows:
    """Those of the newest batch before others, each batch's in their order.

    ``key`` is an object's of ``source``, then only what was rejected of its ``version`` is listed,
    or of the one that came last.
    """

    opened: Opening
    source: str | None = None
    batch_id: str | None = None
    reason: str | None = None
    key: str | None = None
    version: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """See keyset.Pages."""
        return tuple(one.name for one in fields(RejectedRow))

    def page(self, connection: Connection, limit: int, cursor: str | None) -> Page[RejectedRow]:
        """See keyset.Pages. Raises what the bucket's client does."""
        found = list(islice(self._rows(connection, *self._place(cursor)), limit + 1))
        rows = found[:limit]
        if len(found) <= limit:
            return Page(rows, None)
        return Page(rows, cursor_of(self._digest, [rows[-1].batch_id, rows[-1].number]))

    def blocks(self, connection: Connection, cursor: str | None) -> Iterator[list[Sequence[Any]]]:
        """See keyset.Pages. Batches that come meanwhile are not among them."""
        return self._blocks(connection, *self._place(cursor))

    def _blocks(
        self, connection: Connection, batch_id: str | None, number: int
    ) -> Iterator[list[Sequence[Any]]]:
        rows = self._rows(connection, batch_id, number)
        while block := list(islice(rows, BLOCK_ROWS)):
            yield [astuple(one) for one in block]

    @property
    def _digest(self) -> bytes:
        asked = repr((self.source, self.batch_id, self.reason, self.key, self.version))
        return blake2b(f"rejected rows {asked}".encode(), digest_size=9).digest()

    def _place(self, cursor: str | None) -> tuple[str | None, int]:
        if cursor is None:
            return None, 0
        batch_id, number = values_of(self._digest, ["text", "bigint"], cursor)
        return batch_id, number

    def _rows(
        self, connection: Connection, batch_id: str | None, number: int
    ) -> Iterator[RejectedRow]:
        """Those behind the place: the rest of its batch, then the batches before it."""
        if batch_id is not None:
            for one in self._batches(connection, batch_id=batch_id):
                yield from self._of_batch(one, number)
        for one in self._batches(connection, last=batch_id):
            yield from self._of_batch(one, 0)

    def _batches(
        self, connection: Connection, *, batch_id: str | None = None, last: str | None = None
    ) -> Iterator[tuple[str, ...]]:
        if batch_id and self.batch_id and batch_id != self.batch_id:
            return
        while True:
            found = connection.execute(
                _BATCHES,
                {
                    "source": self.source, "batch": batch_id or self.batch_id, "last": last,
                    "reason": self.reason, "object": self.key, "version": self.version,
                    "limit": _BATCHES_AT_ONCE,
                },
            ).fetchall()  # fmt: skip
            yield from found
            if len(found) < _BATCHES_AT_ONCE:
                return
            last = found[-1][0]

    def _of_batch(self, batch: tuple[str, ...], number: int) -> Iterator[RejectedRow]:
        batch_id, pipeline, source, bucket, key, version = batch
        with self.opened(pipeline, source, bucket) as store:
            at = 0
            try:
                for frame in quarantine.read(store, key, rows=BLOCK_ROWS):
                    shown = frame.select(_COLUMNS).iter_rows() if at + len(frame) > number else ()
                    for place, row in enumerate(shown, at + 1):
                        asked = self.reason in {None, row[4]} and (
                            self.key is None or (self.key, version) == row[1:3]
                        )
                        if asked and place > number:
                            yield RejectedRow(batch_id, place, pipeline, source, *row)
                    at += len(frame)
            except KeyError:
                if number == 0:
                    said = f"{key} is not in the bucket {bucket} any more"
                    gone = (f"{bucket}/{key}", key, "", None, GONE, said, None, "", False)
                    yield RejectedRow(batch_id, 1, pipeline, source, *gone)
