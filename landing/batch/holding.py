"""Which run holds a batch: only that one may say what became of it.

Belongs here: the fence around a batch's rows. Does not: taking a batch up
(``landing/arrival/ledger.py``), the locks that say whether a run lives (``locks.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: What the batch of a run may be while it reports: a step may wait, and the last sink be done.
HELD = frozenset({"running", "waiting", "loaded", "loaded_with_rejects"})


class BatchHeldElsewhere(PermanentError):
    """The batch is not, or not any more, in the hands of the run that wants to change it."""


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
