"""Objects of a batch that cannot be read for now: a batch of their own, and a little time.

Belongs here: that step of a validation. Does not: which objects (``landing/batch/row_buffer.py``),
moving them (``splitting.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from landing.arrival.splitting import split_off
from landing.arrival.states import retry_delay

if TYPE_CHECKING:
    import psycopg

    from landing.batch.row_buffer import Withheld


def put_off(conn: psycopg.Connection[Any], batch_id: str, objects: Sequence[Withheld]) -> None:
    """Split the objects off, in the caller's transaction; see landing.batch.validation.PutOff."""
    now = datetime.now(UTC)
    split_off(
        conn,
        batch_id,
        [one.ledgered.seq for one in objects],
        state="failed_transient",
        error_class="transient",
        error=f"not readable for now: {objects[0].ledgered.version.uri}: {objects[0].told}",
        next_attempt_at=now + retry_delay(1),
        now=now,
    )
