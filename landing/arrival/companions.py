"""Batches that a run takes along to a sink which was away: it catches up in few, large runs.

Belongs here: which batches a run takes along, one after another, and what becomes of each. Does
not: how a batch is given to its sink (``landing/batch/delivery.py``), which runs may do it
(``assets/frame/step.py``), when a sink is back (``landing/batch/presence.py``).

What a run of one batch costs is its start. A companion is in the run's hands only while it is
given to the sink: whatever ends the run costs one companion at most, which is then tried alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival import ledger
from landing.arrival.outages import away_sinks, mark_left, note_failures
from landing.arrival.states import ErrorClass
from landing.batch.failures import classify
from landing.batch.holding import BatchHeldElsewhere

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]

#: What one step takes along at most: batches, rows, and seconds, for which new batches wait.
MOST_BATCHES = 64
MOST_ROWS = 200_000
MOST_SECONDS = 60.0

log = logging.getLogger(__name__)

# Due as for a request of its own, but at once: what died before is tried alone, what has to be
# validated again is, and a sink that comes before this one may give this one more to take.
_NEXT = """
    SELECT b.batch_id FROM landing.batch b JOIN landing.batch lead ON lead.batch_id = %(leader)s
    WHERE b.source = lead.source AND b.batch_id <> lead.batch_id
        AND b.state IN ('failed_transient', 'waiting') AND NOT b.away AND b.unit IS NULL
        AND coalesce(b.next_attempt_at, '-infinity'::timestamptz) <= %(now)s
        AND b.validated_at IS NOT NULL AND NOT b.restage AND b.deaths = 0
        AND EXISTS (
            SELECT FROM landing.batch_sink s WHERE s.batch_id = b.batch_id
                AND s.state IN ('pending', 'failed') AND s.sink = %(sink)s)
        AND NOT EXISTS (
            SELECT FROM landing.batch_sink s WHERE s.batch_id = b.batch_id
                AND s.state IN ('pending', 'failed') AND s.sink = ANY(%(before)s))
    ORDER BY b.batch_id LIMIT 1 FOR UPDATE OF b SKIP LOCKED
"""


@dataclass(slots=True)
class CaughtUp:
    """The batches that a sink took in a run of another, and those that failed, in their order."""

    taken: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.taken or self.failed)


def catch_up(
    pg: PostgresResource,
    *,
    leader: str,
    sink: str,
    before: Sequence[str],
    run_id: str,
    give: Callable[[str], int],
    now: Callable[[], datetime],
    clock: Callable[[], float],
) -> CaughtUp:
    """Give the sink what waits for it beside ``leader``, the batch that the run was asked for.

    ``before`` are the sinks that a batch must have reached before this one. ``give`` delivers one
    batch and returns its rows. One that fails is noted as its own run would, and costs the others
    nothing; unless the failure may be the sink's, with which it ends. Raises nothing of theirs.
    """
    done, rows, end = CaughtUp(), 0, clock() + MOST_SECONDS
    while len(done.taken) + len(done.failed) < MOST_BATCHES and rows < MOST_ROWS and clock() < end:
        with pg.connect() as conn:
            batch_id = take_along(
                conn, leader=leader, sink=sink, before=before, run_id=run_id, now=now()
            )
        if batch_id is None:
            break
        try:
            rows += give(batch_id)
        except BatchHeldElsewhere as error:
            log.warning("%s", error)
            break
        except Exception as error:  # noqa: BLE001 - noted for the batch whose it is
            log.warning("%s of %s, taken along: %s", sink, batch_id, error)
            said = f"{sink}: {type(error).__name__}: {error}"
            kind = classify(error)
            with pg.connect() as conn:
                _fail(conn, batch_id, run_id, kind, said, now())
            done.failed.append(batch_id)
            if kind != "permanent":
                break
        except BaseException:
            _give_back_anyhow(pg, batch_id, sink, run_id, now())
            raise
        else:
            with pg.connect() as conn:
                leave(conn, batch_id, run_id, now())
            done.taken.append(batch_id)
    return done


def take_along(
    connection: Connection,
    *,
    leader: str,
    sink: str,
    before: Sequence[str],
    run_id: str,
    now: datetime,
) -> str | None:
    """Take up the oldest batch of the leader's source that is due and can be given to the sink."""
    with connection.transaction():
        row = connection.execute(
            _NEXT, {"leader": leader, "sink": sink, "before": list(before), "now": now}
        ).fetchone()
        if row is None:
            return None
        ledger.mark_running(connection, row[0], run_id, now)
        return str(row[0])


def leave(connection: Connection, batch_id: str, run_id: str, now: datetime) -> None:
    """The sink has the companion: unless that was the last one, it waits for the others."""
    batch = ledger.batch(connection, batch_id)
    away = away_sinks(connection, batch.source)
    if not (away and mark_left(connection, batch, away, now=now)):
        _wait(connection, batch_id, run_id, now)


def give_back(connection: Connection, batch_id: str, sink: str, run_id: str, now: datetime) -> None:
    """The run ends: the companion is as it was, and due at once."""
    with connection.transaction():
        connection.execute(
            """
            UPDATE landing.batch_sink SET state = 'pending', error_class = NULL, error = NULL
            WHERE batch_id = %s AND sink = %s AND run_id = %s AND state = 'failed'
            """,
            (batch_id, sink, run_id),
        )
        _wait(connection, batch_id, run_id, now, begun=-1)


def _give_back_anyhow(
    pg: PostgresResource, batch_id: str, sink: str, run_id: str, now: datetime
) -> None:
    """What interrupts the run is what is raised: without Postgres the next tick finds it out."""
    import psycopg

    try:
        with pg.connect() as conn:
            give_back(conn, batch_id, sink, run_id, now)
    except psycopg.Error as error:
        log.warning("%s was not given back: %s", batch_id, error)


def _wait(
    connection: Connection, batch_id: str, run_id: str, now: datetime, *, begun: int = 0
) -> None:
    connection.execute(
        """
        UPDATE landing.batch
        SET state = 'waiting', next_attempt_at = %(now)s, finished_at = %(now)s,
            waiting_since = coalesce(waiting_since, %(now)s), error_class = NULL, error = NULL,
            begun = begun + %(begun)s
        WHERE batch_id = %(batch)s AND run_id = %(run)s AND state = 'running'
        """,
        {"batch": batch_id, "run": run_id, "now": now, "begun": begun},
    )


def _fail(  # noqa: PLR0917 - as ledger.mark_failed
    connection: Connection, batch_id: str, run_id: str, kind: ErrorClass, said: str, now: datetime
) -> None:
    error = said[:4_000].replace("\0", "")
    if ledger.mark_failed(
        connection, batch_id, run_id=run_id, error_class=kind, error=error, now=now
    ):
        note_failures(connection, batch_id, run_id, now)
