"""Taking a batch up: which run may, and which comes too late.

Belongs here: the question alone. Does not: the change (``ledger.py``), what a run may report that
has taken it up (``landing/batch/holding.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landing.arrival.states import run_key
from landing.batch.holding import BatchHeldElsewhere
from landing.batch.locks import run_lock_held

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def require_free(connection: Connection, batch_id: str, run_id: str, key: str | None) -> None:
    """Lock the batch's row until the transaction ends, for a run that is to take it up.

    ``key`` is the run key of a run that a tick asked for. Raises BatchHeldElsewhere when the tick
    has asked for another attempt since, or another run works on the batch and lives.
    """
    row = connection.execute(
        "SELECT attempt, state, run_id FROM landing.batch WHERE batch_id = %s FOR UPDATE",
        (batch_id,),
    ).fetchone()
    if row is None or row[2] == run_id:
        return
    attempt, state, holder = row
    if key is not None and key.startswith(f"{batch_id}/") and key != run_key(batch_id, attempt):
        message = f"run {run_id} was asked for as {key}, and {batch_id} is at attempt {attempt}"
        raise BatchHeldElsewhere(message)
    if state == "running" and holder is not None and run_lock_held(connection, holder):
        raise BatchHeldElsewhere(f"run {holder} works on batch {batch_id} and lives")
