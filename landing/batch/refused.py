"""Rows of a batch that a sink refuses, kept in the ledger with the sink's own words.

Belongs here: what a sink tells of them while it works, and their table. Does not: which rows are at
fault (``assets/sinks/isolating.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_DETAIL_CHARACTERS = 2_000
#: A key that a sink refuses for its length must have room in the ledger's index.
_KEY_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """One row; ``source`` is its object version's URI, ``line`` its line there."""

    record_key: str
    detail: str
    source: str | None = None
    line: int | None = None


@dataclass(slots=True)
class Refusals:
    """What one sink refuses of one batch, gathered while it is written."""

    words: dict[str, str] = field(default_factory=dict)
    #: Source and line of those whose key is no staged row's.
    places: dict[str, tuple[str | None, int | None]] = field(default_factory=dict)

    def __call__(
        self,
        record_key: str,
        detail: str,
        place: tuple[str | None, int | None] | None = None,
    ) -> None:
        """Set a record's row aside; its first words are kept.

        ``place``, its source and line, is for what is not kept by the keys of staged rows.
        """
        said = " ".join(detail.replace("\0", "").split())[:_DETAIL_CHARACTERS]
        self.words.setdefault(record_key, said)
        if place:
            self.places.setdefault(record_key, place)


@dataclass(frozen=True, slots=True)
class RefusingBatch:
    """A batch that has refused rows: how many in all of its sinks, and when the last was noted."""

    batch_id: str
    rows: int
    refused_at: datetime


@dataclass(frozen=True, slots=True)
class NotedRefusal:
    """A refused row as the ledger has it."""

    sink: str
    row: RefusedRow
    refused_at: datetime


def save(
    conn: psycopg.Connection[Any], batch_id: str, sink: str, rows: Sequence[RefusedRow]
) -> None:
    """Make these the refused rows of the sink: those that got through by now are no more."""
    conn.execute(
        "DELETE FROM landing.refused_row WHERE batch_id = %s AND sink = %s", (batch_id, sink)
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO landing.refused_row
                (batch_id, sink, record_key, source, line, detail, refused_at)
            VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
            """,
            [
                (batch_id, sink, _short(one.record_key), one.source, one.line, one.detail)
                for one in rows
            ],
        )


def _short(key: str) -> str:
    """The key, or its beginning and a digest by which it is still no other's."""
    if len(key) <= _KEY_CHARACTERS:
        return key
    return f"{key[:_KEY_CHARACTERS]}… (sha256 {sha256(key.encode()).hexdigest()[:16]})"


def refused_rows(conn: psycopg.Connection[Any], batch_id: str) -> list[NotedRefusal]:
    """What the batch's sinks refuse, by sink, object and line."""
    cursor = conn.execute(
        """
        SELECT sink, record_key, detail, source, line, refused_at FROM landing.refused_row
        WHERE batch_id = %s ORDER BY sink, source, line, record_key
        """,
        (batch_id,),
    )
    return [NotedRefusal(row[0], RefusedRow(*row[1:5]), row[5]) for row in cursor]


def refusing_batches(conn: psycopg.Connection[Any]) -> list[RefusingBatch]:
    """Batches with refused rows, oldest first."""
    cursor = conn.execute(
        """
        SELECT batch_id, count(*), max(refused_at) FROM landing.refused_row
        GROUP BY batch_id ORDER BY batch_id
        """
    )
    return [RefusingBatch(*row) for row in cursor]
