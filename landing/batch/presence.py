"""A sink that took a batch is there: what that ends.

Belongs here: success alone. Does not: how a sink is found to be away
(``landing/arrival/outages.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def note_success(connection: Connection, batch_id: str, sink: str) -> None:
    """A sink took a batch: it is back, and the batches that waited for it are due."""
    connection.execute(
        """
        DELETE FROM landing.sink_failures f USING landing.batch b
        WHERE b.batch_id = %s AND f.source = b.source AND f.sink = %s
        """,
        (batch_id, sink),
    )
    back = connection.execute(
        """
        DELETE FROM landing.sink_outage o USING landing.batch b
        WHERE b.batch_id = %s AND o.source = b.source AND o.sink = %s RETURNING o.source
        """,
        (batch_id, sink),
    ).fetchone()
    if back is not None:
        connection.execute(
            "UPDATE landing.batch SET away = false WHERE source = %s AND away", (back[0],)
        )
