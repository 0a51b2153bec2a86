"""Reports runs as failed whose process is gone.

Belongs here: finding dead runs. Does not: asking for them again (the ledger's business).
"""

import json
import time
from collections.abc import Collection, Mapping

import dagster as dg

from landing.batch import locks
from resources.postgres import PostgresResource

#: Seconds that a STARTED run may be without its lock: start-up, or a reconnect after a restart.
GRACE = 30.0
LOOK_SECONDS = 14


def overdue(
    started: Collection[str], held: Collection[str], missing_since: Mapping[str, float], now: float
) -> tuple[list[str], dict[str, float]]:
    """Which started runs have been without their lock for longer than GRACE.

    Returns the overdue run ids and, for the next tick, since when each other run lacks its lock
    (seconds, like ``now``). A run must be seen without its lock in two ticks, so that one which
    finishes between two questions is never reported.
    """
    missing = {run: missing_since.get(run, now) for run in started if run not in held}
    dead = [run for run, since in missing.items() if run in missing_since and now - since > GRACE]
    return dead, {run: since for run, since in missing.items() if run not in dead}


@dg.sensor(
    name="dead_run_reaper",
    description="Fails STARTED runs whose process no longer holds the run's advisory lock.",
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def dead_run_reaper(
    context: dg.SensorEvaluationContext, postgres: PostgresResource
) -> dg.SkipReason:
    """Dagster's default launcher cannot see that a run died with its code server; the lock can."""
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    started = {run.run_id: run.status for run in context.instance.get_runs(filters)}
    held: set[str] = set()
    if started:
        with postgres.connect() as connection:
            held = {run for run in started if locks.run_lock_held(connection, run)}
    dead, missing = overdue(started, held, json.loads(context.cursor or "{}"), time.time())
    for run_id in dead:
        report_dead(context.instance, run_id)
    context.update_cursor(json.dumps(missing))
    return dg.SkipReason(
        f"{len(started)} runs started, {len(held)} alive, {len(missing)} without a lock, "
        f"{len(dead)} reported dead"
    )


def report_dead(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    """End the run in Dagster's eyes, unless it has ended meanwhile; how it ended.

    None for a run that Dagster does not know.
    """
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return run.status if run else None
    message = f"The run's process ended without reporting: no lock for {GRACE:.0f} s."
    if run.status == dg.DagsterRunStatus.CANCELING:
        # Somebody wanted it to end: it must not come back as a failure that is tried again.
        instance.report_run_canceled(run, message=message)
        ended = dg.DagsterRunStatus.CANCELED
    else:
        instance.report_run_failed(run, message=f"{message} The ledger requests its batch again.")
        ended = dg.DagsterRunStatus.FAILURE
    # Dagster lets go of a dead run's pools half a minute after it was reported.
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended
