"""Tells the ledger which runs ended without loading their batch.

Belongs here: from a run's end to the batch's state. Does not: the rules of states and backoff
(``landing.states``), nor success, which the last sink of a batch reports in its own transaction.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import dagster as dg

from landing import ledger
from landing.states import ErrorClass
from resources.postgres import PostgresResource

INTERVAL_SECONDS = 5


def failure_of(
    batch: ledger.Batch, sinks: Sequence[ledger.SinkState], run_id: str, message: str
) -> tuple[ErrorClass, str]:
    """The class and text of what ended the run: permanent as soon as one part failed for good.

    ``message`` is Dagster's, used where neither validation nor a sink of this run reported.
    """
    reported = [
        (sink.error_class, f"{sink.sink}: {sink.error}")
        for sink in sinks
        if sink.state == "failed" and sink.run_id == run_id
    ]
    if not reported and batch.error and batch.run_id == run_id:
        reported.append((batch.error_class, batch.error))
    if not reported:
        return "transient", message
    permanent = any(kind == "permanent" for kind, _ in reported)
    return "permanent" if permanent else "transient", "; ".join(text for _, text in reported)


def _record(
    context: dg.RunStatusSensorContext, postgres: PostgresResource, *, stopped: bool
) -> dg.SkipReason:
    """Write the outcome of a run that has a batch; runs without one are not the ledger's."""
    run = context.dagster_run
    batch_id = run.tags.get("dagster/partition")
    if not batch_id:
        return dg.SkipReason("The run has no partition.")
    with postgres.connect() as connection:
        try:
            batch = ledger.batch(connection, batch_id)
        except ledger.UnknownBatchError:
            return dg.SkipReason(f"{batch_id} is no landing batch.")
        sinks = ledger.sinks(connection, [batch_id])[batch_id]
        message = context.dagster_event.message or "The run failed."
        error_class, error = failure_of(batch, sinks, run.run_id, message)
        if stopped:
            error_class = "permanent"
            error = f"The run was cancelled; `make replay BATCH={batch_id}` requests it again."
        changed = ledger.mark_failed(
            connection,
            batch_id,
            run_id=run.run_id,
            error_class=error_class,
            error=error,
            now=datetime.now(UTC),
        )
    return dg.SkipReason(f"{batch_id}: {error_class} failure {'recorded' if changed else 'known'}")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    name="batch_run_failed",
    description="Marks the batch of a failed run for its next attempt, or for an operator.",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def batch_run_failed(
    context: dg.RunStatusSensorContext, postgres: PostgresResource
) -> dg.SkipReason:
    """A run of a batch failed."""
    return _record(context, postgres, stopped=False)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="batch_run_canceled",
    description="Leaves the batch of a cancelled run to an operator.",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def batch_run_canceled(
    context: dg.RunStatusSensorContext, postgres: PostgresResource
) -> dg.SkipReason:
    """A run of a batch was cancelled."""
    return _record(context, postgres, stopped=True)
