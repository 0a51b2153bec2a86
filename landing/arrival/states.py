"""The states of a batch, and when a failed one is tried again. Pure.

Belongs here: the rules. Does not: reading or writing the ledger.

    pending -> requested -> running -> loaded | loaded_with_rejects
                 |            |
                 +------------+-> failed_transient -> requested (attempt + 1)
                              +-> waiting -> requested (attempt + 1), or running in a run of others
                              +-> failed_permanent -> pending (by an operator)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Literal, get_args

BatchState = Literal[
    "pending",
    "requested",
    "running",
    "loaded",
    "loaded_with_rejects",
    "waiting",
    "failed_transient",
    "failed_permanent",
]
ErrorClass = Literal["transient", "permanent", "unknown"]

ERROR_CLASSES: tuple[ErrorClass, ...] = get_args(ErrorClass)
ALL_STATES: tuple[BatchState, ...] = get_args(BatchState)

#: A run was asked for or works: what a source's ``max_in_flight`` limits.
IN_FLIGHT: frozenset[BatchState] = frozenset({"requested", "running"})

#: Requested again by itself, once its next attempt is due.
TRIED_AGAIN: frozenset[BatchState] = frozenset({"failed_transient", "waiting"})

#: Runs that may end with an error of no known class, before an operator is to look into it.
UNKNOWN_RUNS = 5

#: Nothing more will happen to the batch by itself.
LOADED: frozenset[BatchState] = frozenset({"loaded", "loaded_with_rejects"})

#: How long a run may be without its lock before its batch counts as abandoned: a connection that
#: broke is re-established within this.
LOCK_GRACE = timedelta(seconds=30)

#: After which a batch that waits for somebody else's work is looked at again, should whoever does
#: it ask for no run. A day of it is worth a look.
WAIT = timedelta(hours=1)
LONG_WAIT = timedelta(days=1)

#: After which a run is asked for again that never began: nothing was tried, nothing is to blame.
NOT_STARTED = timedelta(minutes=1)

#: Runs of a batch whose process died, one after another, after which it may be dying of an object:
#: a batch of several is halved, a single object is set aside a death later. Once its rows are
#: staged it waits for an operator after MOST_DEATHS.
SUSPECT_DEATHS = 2
LONE_DEATHS = 3
MOST_DEATHS = 5

_BACKOFF = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60))


def retry_delay(begun: int) -> timedelta:
    """How long after the failure of the ``begun``-th run (from 1) the next may be requested.

    Runs that never began do not count.
    """
    return _BACKOFF[min(max(begun, 1), len(_BACKOFF)) - 1]


def lost_delay(deaths: int) -> timedelta:
    """How long after the ``deaths``-th death in a row (from 1) the next run may be requested.

    A process that died says nothing about the sinks: the first time it is tried again at once. One
    that dies again may be dying of the batch.
    """
    return retry_delay(deaths - 1) if deaths > 1 else timedelta()


def cancelled(batch_id: str) -> str:
    """What the ledger says of a batch whose run somebody cancelled."""
    return f"The run was cancelled; `make replay BATCH={batch_id}` requests it again."


def failed_state(error_class: ErrorClass, unknown_errors: int = 0) -> BatchState:
    """The state that a failure of this class leads to.

    ``unknown_errors`` counts the runs that ended with an unknown one, this one included.
    """
    if error_class == "unknown":
        return "failed_transient" if unknown_errors < UNKNOWN_RUNS else "failed_permanent"
    return "failed_transient" if error_class == "transient" else "failed_permanent"


def worst(classes: Iterable[ErrorClass]) -> ErrorClass:
    """The class of several failures together: one that lasts decides, then one unknown."""
    return max(classes, key=("transient", "unknown", "permanent").index)


def run_key(batch_id: str, attempt: int) -> str:
    """Dagster's run key: it remembers one for ever, so that every attempt needs its own."""
    return f"{batch_id}/{attempt}"
