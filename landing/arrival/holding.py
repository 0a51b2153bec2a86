"""Which run holds a batch: only that one may say what became of it.

Belongs here: the fence around a batch's rows. Does not: the locks that say whether a run lives
(``landing/batch/locks.py``), what a run reports (``ledger.py``, ``landing/batch/delivery.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landing.arrival.states import HELD, run_key
from landing.batch.failures import PermanentError
from landing.batch.locks import run_lock_held

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


class BatchHeldElsewhere(PermanentError):
    """The batch is not, or not any more, in the hands of the run that wants to change it."""


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


def require_holder(connection: Connection, batch_id: str, run_id: str) -> None:
    """Lock the batch's row until the transaction ends, for the run that holds the batch.

    Whatever a run reports of a batch comes after this, in the same transaction: a run that was
    given up, and goes on because it was only stopped or cut off, changes nothing any more. A batch
    that no run has taken up yet is nobody's. Raises BatchHeldElsewhere.
    """
    row = connection.execute(
        "SELECT state, run_id, attempt FROM landing.batch WHERE batch_id = %s FOR UPDATE",
        (batch_id,),
    ).fetchone()
    if row is None:
        raise BatchHeldElsewhere(f"no batch {batch_id} in the ledger")
    state, holder, attempt = row
    if (holder == run_id and state in HELD) or (holder is None and not attempt):
        return
    who = f"run {holder} has taken it up" if holder not in {None, run_id} else f"it is {state}"
    raise BatchHeldElsewhere(
        f"run {run_id} does not hold batch {batch_id} any more ({who}): nothing of it is kept here"
    )
