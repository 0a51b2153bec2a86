"""The ledger of batches and sinks: what the sensor requests and what the runs report.

Belongs here: typed reads and state changes of ``landing.batch`` and ``landing.batch_sink`` over a
psycopg connection. Does not: the rules (states.py), arriving objects (arrivals.py), loading.

Every change is one statement or one transaction, and says in its WHERE which state it expects:
its result tells whether it was the one that changed it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from landing.arrival.holding import require_free
from landing.arrival.states import (
    ALL_STATES,
    ERROR_CLASSES,
    UNKNOWN_RUNS,
    WAIT,
    BatchState,
    ErrorClass,
    failed_state,
    retry_delay,
    worst,
)
from landing.batch.delivery import close_if_done

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Batch:
    """One row of ``landing.batch``; ``bytes`` and ``objects`` are those of its object versions.

    ``partition_key`` is what its runs work on: its own id, or the unit of its objects.
    """

    batch_id: str
    partition_key: str
    source: str
    pipeline: str
    state: BatchState
    attempt: int
    objects: int
    bytes: int
    created_at: datetime
    requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    run_id: str | None
    validated_at: datetime | None
    error_class: ErrorClass | None
    error: str | None
    partition_removed_at: datetime | None
    #: Since when it waits for somebody else's work, attempts in between included.
    waiting_since: datetime | None = None
    #: Whether its staging was lost, so that it has to be validated again.
    restage: bool = False
    #: Runs that began, since an operator reopened it last: what the backoff counts.
    begun: int = 0
    #: Runs whose process died, one after another.
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class SinkState:
    """One row of ``landing.batch_sink``: what one sink has of one batch."""

    batch_id: str
    sink: str
    state: Literal["pending", "done", "failed", "retired"]
    rows_written: int | None
    seconds: float | None
    run_id: str | None
    done_at: datetime | None
    error_class: ErrorClass | None
    error: str | None


class UnknownBatchError(LookupError):
    """The ledger has no batch of this id."""


_EXPRESSIONS = {"partition_key": "coalesce(unit, batch_id)"}
_BATCH = ", ".join(_EXPRESSIONS.get(column.name, column.name) for column in fields(Batch))
_SINK = ", ".join(column.name for column in fields(SinkState))


def batch(connection: Connection, batch_id: str) -> Batch:
    """One batch. Raises UnknownBatchError."""
    found = select_batches(connection, "WHERE batch_id = %(batch_id)s", {"batch_id": batch_id})
    if not found:
        message = f"no batch {batch_id} in the ledger"
        raise UnknownBatchError(message)
    return found[0]


def batch_of_partition(connection: Connection, source: str, partition_key: str) -> Batch | None:
    """The newest batch of a source that works on the partition; None when nothing landed of it.

    What a run works on that no sensor asked for: one from the UI, or of a backfill.
    """
    found = select_batches(
        connection,
        "WHERE source = %(source)s AND coalesce(unit, batch_id) = %(partition_key)s"
        " ORDER BY batch_id DESC LIMIT 1",
        {"source": source, "partition_key": partition_key},
    )
    return found[0] if found else None


def batches_in_run(connection: Connection, run_id: str) -> list[Batch]:
    """The batches that the run took up last, also where no sensor asked for the run."""
    return select_batches(connection, "WHERE run_id = %(run)s ORDER BY batch_id", {"run": run_id})


def batches(
    connection: Connection, *, states: Sequence[BatchState] = ALL_STATES, limit: int = 1_000
) -> list[Batch]:
    """The newest batches in these states, of every source."""
    return select_batches(
        connection,
        "WHERE state = ANY(%(states)s) ORDER BY batch_id DESC LIMIT %(limit)s",
        {"states": list(states), "limit": limit},
    )


def sinks(connection: Connection, batch_ids: Sequence[str]) -> dict[str, list[SinkState]]:
    """The sinks of each of these batches, by name."""
    found: dict[str, list[SinkState]] = {batch_id: [] for batch_id in batch_ids}
    rows = connection.execute(
        f"SELECT {_SINK} FROM landing.batch_sink WHERE batch_id = ANY(%s) ORDER BY batch_id, sink",
        (list(batch_ids),),
    )
    for row in rows:
        sink = SinkState(*row)
        found[sink.batch_id].append(sink)
    return found


def mark_requested(connection: Connection, batch_id: str, attempt: int, now: datetime) -> bool:
    """Ask for a run: attempt n of a batch whose attempt n-1 failed or waits, or which is new."""
    return _changed(
        connection,
        """
        UPDATE landing.batch
        SET state = 'requested', attempt = %(attempt)s, requested_at = %(now)s, run_id = NULL,
            started_at = NULL, finished_at = NULL, next_attempt_at = NULL, away = false
        WHERE batch_id = %(batch_id)s AND attempt = %(attempt)s - 1
          AND state IN ('pending', 'failed_transient', 'waiting')
        """,
        {"batch_id": batch_id, "attempt": attempt, "now": now},
    )


def mark_running(
    connection: Connection, batch_id: str, run_id: str, now: datetime, *, key: str | None = None
) -> Batch:
    """A run has begun to work on the batch; it holds the run lock and the writer lock.

    Any state may be left: an operator's backfill runs loaded and failed batches too. Raises
    UnknownBatchError, and BatchHeldElsewhere as holding.require_free does, which knows ``key``.
    """
    with connection.transaction():
        require_free(connection, batch_id, run_id, key)
        connection.execute(
            """
            UPDATE landing.batch
            SET state = 'running', run_id = %(run_id)s, started_at = %(now)s, finished_at = NULL,
                next_attempt_at = NULL, error_class = NULL, error = NULL, away = false,
                begun = begun + (run_id IS DISTINCT FROM %(run_id)s)::integer
            WHERE batch_id = %(batch_id)s
            """,
            {"batch_id": batch_id, "run_id": run_id, "now": now},
        )
        return batch(connection, batch_id)


def note_error(
    connection: Connection, batch_id: str, *, run_id: str, error_class: ErrorClass, error: str
) -> None:
    """Why a step of this run failed, kept for :func:`mark_failed`; the worst class is kept."""
    connection.execute(
        """
        UPDATE landing.batch
        SET error = %(error)s, error_class = %(error_class)s, deaths = 0
        WHERE batch_id = %(batch_id)s AND run_id = %(run_id)s AND state = 'running'
            AND (error_class IS NULL OR NOT error_class = ANY(%(kept)s))
        """,
        {
            "batch_id": batch_id,
            "run_id": run_id,
            "error_class": error_class,
            "error": _storable(error),
            "kept": [
                "permanent",
                *(k for k in ERROR_CLASSES if worst((k, error_class)) != error_class),
            ],
        },
    )


def mark_waiting(
    connection: Connection, batch_id: str, *, run_id: str, why: str, now: datetime
) -> bool:
    """A step of this run left the batch to somebody else's work, after which a run goes on.

    Should none be asked for, the batch is requested again after states.WAIT. Nothing changes when
    another run works.
    """
    return _changed(
        connection,
        """
        UPDATE landing.batch
        SET state = 'waiting', finished_at = %(now)s, next_attempt_at = %(next)s,
            waiting_since = coalesce(waiting_since, %(now)s), error_class = NULL, error = %(why)s,
            deaths = 0
        WHERE batch_id = %(batch_id)s AND run_id = %(run_id)s AND state = 'running'
        """,
        {
            "batch_id": batch_id,
            "run_id": run_id,
            "why": _storable(why),
            "now": now,
            "next": now + WAIT,
        },
    )


def mark_failed(
    connection: Connection,
    batch_id: str,
    *,
    run_id: str,
    error_class: ErrorClass,
    error: str,
    now: datetime,
) -> bool:
    """The run ended without loading the batch; a transient failure gets its next attempt's time.

    An unknown one too, until states.UNKNOWN_RUNS runs have ended so.
    Nothing changes when the batch is loaded meanwhile, has failed already, or another run works.
    Where one of the run's steps waits, what failed beside it counts. A batch that every sink still
    has, since the run of it changed nothing, is loaded as it was.
    """
    with connection.transaction():
        row = connection.execute(
            "SELECT begun, unknown_errors FROM landing.batch WHERE batch_id = %s FOR UPDATE",
            (batch_id,),
        ).fetchone()
        if row is None:
            message = f"no batch {batch_id} in the ledger"
            raise UnknownBatchError(message)
        unknown = row[1] + (error_class == "unknown")
        state = failed_state(error_class, unknown)
        if error_class == "unknown" and state == "failed_permanent":
            error += f" (unknown, and the same in {UNKNOWN_RUNS} runs: waits for an operator)"
        changed = _changed(
            connection,
            """
            UPDATE landing.batch
            SET state = %(state)s, finished_at = %(now)s, next_attempt_at = %(next)s,
                run_id = %(run_id)s, error_class = %(error_class)s, error = %(error)s,
                deaths = 0, unknown_errors = %(unknown)s
            WHERE batch_id = %(batch_id)s AND state IN ('requested', 'running', 'waiting')
              AND (run_id IS NULL OR run_id = %(run_id)s)
            """,
            {
                "batch_id": batch_id,
                "run_id": run_id,
                "state": state,
                "unknown": unknown,
                "error_class": error_class,
                "error": error,
                "now": now,
                "next": now + retry_delay(row[0]) if state == "failed_transient" else None,
            },
        )
        if changed:
            close_if_done(connection, batch_id)
        return changed


def reopen(connection: Connection, batch_id: str) -> bool:
    """An operator says that the cause of a failure is gone: request the batch at the next tick.

    Only batches that failed or wait are reopened; what their sinks have stays, the backoff begins
    anew.
    """
    return _changed(
        connection,
        """
        UPDATE landing.batch
        SET state = 'pending', next_attempt_at = NULL, waiting_since = NULL, error_class = NULL,
            error = NULL, begun = 0, deaths = 0, unknown_errors = 0
        WHERE batch_id = %(batch_id)s
          AND state IN ('failed_transient', 'failed_permanent', 'waiting')
        """,
        {"batch_id": batch_id},
    )


def _storable(text: str) -> str:
    """Postgres text cannot hold NUL."""
    return text[:4_000].replace("\0", "")


def select_batches(connection: Connection, clause: str, values: Mapping[str, Any]) -> list[Batch]:
    """The batches that a WHERE clause with what may follow it chooses."""
    rows = connection.execute(
        f"SELECT {_BATCH} FROM landing.batch {clause}",
        values,
    )
    return [Batch(*row) for row in rows]


def _changed(connection: Connection, statement: str, values: Mapping[str, Any]) -> bool:
    return connection.execute(statement, values).rowcount == 1
