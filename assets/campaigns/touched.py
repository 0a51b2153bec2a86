"""What a batch touches: the users, (user, campaign) pairs and days whose derived data it changes.

Belongs here: the list, kept in Postgres so that a batch may be of any size. Does not: what is
derived from it.

A record belongs to its current user, campaign and day, and to every one that any batch replaced
for it: an earlier batch may have failed in a sink before it could clean up there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.sinks.postgres import copy_frames

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from resources.postgres import PostgresResource

_CREATE = """
CREATE TEMPORARY TABLE touched (
    key text COLLATE "C", user_id text COLLATE "C", campaign text COLLATE "C",
    event_time timestamptz
)
"""
_COLUMNS = ("key", "user_id", "campaign", "event_time")

_ADD_REPLACED = """
INSERT INTO touched (key, user_id, campaign, event_time)
SELECT r.key, r.user_id, r.campaign, r.event_time
FROM campaigns.replaced AS r
WHERE r.batch_id = %(batch)s OR r.key IN (SELECT key FROM touched)
"""

_DAYS = """
SELECT DISTINCT date_trunc('day', event_time, 'UTC') FROM touched ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """One batch's list, on a connection of its own that reads one snapshot."""

    connection: psycopg.Connection[tuple[Any, ...]]
    batch_id: str

    def add(self, chunk: pl.DataFrame) -> None:
        """Rows of the batch's staging that are current."""
        rows = chunk.rename({"record_id": "key", "timestamp": "event_time"})
        copy_frames(self.connection, "pg_temp.touched", _COLUMNS, [rows])

    def complete(self) -> None:
        """Add what the batch, and others before it, replaced. Call once, after the last add."""
        self.connection.execute(_ADD_REPLACED, {"batch": self.batch_id})
        self.connection.execute("ANALYZE touched")

    def passing(self, chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same chunks, each added on its way; completes the list after the last one."""
        for chunk in chunks:
            self.add(chunk)
            yield chunk
        self.complete()

    def days(self) -> list[datetime]:
        """The first moments of the days touched, in UTC."""
        return [row[0] for row in self.connection.execute(_DAYS)]

    def stream(self, sql: str, parameters: dict[str, Any] | None = None) -> Iterator[Any]:
        """Rows of a query over ``touched``, fetched as they are consumed."""
        with self.connection.cursor(name="touched_stream") as cursor:
            cursor.itersize = 2_000
            cursor.execute(sql, parameters)
            yield from cursor


@contextmanager
def touched(pg: PostgresResource, batch_id: str) -> Iterator[Touched]:
    """An empty list for a batch; it goes with the connection."""
    with pg.connect() as connection:
        connection.execute("SET LOCAL TIME ZONE 'UTC'")
        connection.execute(_CREATE)
        yield Touched(connection, batch_id)
        connection.rollback()
