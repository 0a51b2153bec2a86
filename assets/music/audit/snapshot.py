"""What the checks over all of music share: one moment of the database, a sample of what is wrong.

Belongs here: reading and showing. Does not: any check.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

#: Rows shown of what is wrong.
SAMPLE = 10

#: Said of a comparison that a running batch would spoil.
NOT_COMPARED = "Not compared: batches are under way."


@contextmanager
def snapshot(postgres: PostgresResource) -> Iterator[psycopg.Connection[Any]]:
    """A connection that sees one moment throughout, and changes nothing."""
    import psycopg

    with postgres.connect() as conn:
        conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        try:
            yield conn
        finally:
            conn.rollback()


def sample(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """The first rows as a table; nothing when there are none."""
    return {"sample": dg.MetadataValue.md(markdown.table(header, rows[:SAMPLE]))} if rows else {}
