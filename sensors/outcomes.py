"""Tells the ledger which runs ended without loading their batch.

Belongs here: from a run's end to the batch's state. Does not: the rules of states and backoff
(``landing.arrival.states``), nor success, which the last sink of a batch reports in its own
transaction.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.execution import BATCH_TAG
from landing.arrival import endings, ledger, outages
from landing.arrival.states import IN_FLIGHT, ErrorClass, cancelled, run_key, worst
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

#: Every second look of the daemon: what is in a hurry, a batch whose run died, its own tick sees.
LOOK_SECONDS = 9
#: What a person has ended waits for a person.
CANCELED_LOOK_SECONDS = 19


def failure_of(
    batch: ledger.Batch, sinks: Sequence[ledger.SinkState], run_id: str
) -> tuple[ErrorClass, str] | None:
    """The class and text of what ended the run: the worst class of its parts.

    None when neither validation nor a sink of this run reported: its process ended before.
    """
    reported = [
        (sink.error_class, f"{sink.sink}: {sink.error}")
        for sink in sinks
        if sink.state == "failed" and sink.run_id == run_id
    ]
    # A text without a class says what the batch waits for.
    if not reported and batch.error and batch.error_class and batch.run_id == run_id:
        reported.append((batch.error_class, batch.error))
    if not reported:
        return None
    kind = worst(kind or "unknown" for kind, _ in reported)
    return kind, "; ".join(text for _, text in reported)


def concerns(batch: ledger.Batch, run_id: str, key: str | None) -> bool:
    """Whether the batch is in flight in this run: it works on it, or was requested as its attempt.

    ``key`` is the run's run key; a late word of an earlier attempt says nothing about this one. A
    batch that this run left waiting is concerned by what went wrong beside the step that waits.
    """
    if batch.state == "waiting":
        return batch.run_id == run_id
    if batch.state not in IN_FLIGHT:
        return False
    if batch.run_id is None:
        return key == run_key(batch.batch_id, batch.attempt)
    return batch.run_id == run_id


def _batch_named(connection: "psycopg.Connection[Any]", named: str | None) -> ledger.Batch | None:
    """What a run was asked for that has not begun."""
    try:
        return ledger.batch(connection, named) if named else None
    except ledger.UnknownBatchError:
        return None


def _record(
    context: dg.RunStatusSensorContext, postgres: PostgresResource, *, stopped: bool
) -> str:
    """Write the outcome of a run that has a batch; runs without one are not the ledger's."""
    run = context.dagster_run
    # A run that no sensor asked for has the partition alone, which is the batch's id where a batch
    # is its own unit of work.
    with postgres.connect() as connection:
        named = run.tags.get(BATCH_TAG) or run.tags.get("dagster/partition")
        taken = ledger.batches_in_run(connection, run.run_id)
        batches = taken or [*filter(None, [_batch_named(connection, named)])]
        if not batches:
            return f"{named} is no landing batch" if named else "no batch and no partition"
        key = run.tags.get("dagster/run_key")
        concerned = [
            batch
            for batch in batches
            if concerns(batch, run.run_id, key)
            # What it took along and left waiting was settled: its end says nothing of that.
            and (batch.state != "waiting" or named in {batch.batch_id, batch.partition_key})
        ]
        if not concerned:
            return f"{batches[0].batch_id} has moved on from run {run.run_id}"
        said = [_note(context, connection, batch, stopped=stopped) for batch in concerned]
    return "; ".join(said)


def _note(
    context: dg.RunStatusSensorContext,
    connection: "psycopg.Connection[Any]",
    batch: ledger.Batch,
    *,
    stopped: bool,
) -> str:
    run_id, batch_id, now = context.dagster_run.run_id, batch.batch_id, datetime.now(UTC)
    sinks = ledger.sinks(connection, [batch_id])[batch_id]
    found = failure_of(batch, sinks, run_id)
    if stopped:
        found = ("permanent", cancelled(batch_id))
    if found is None:
        message = context.dagster_event.message or "The run failed."
        record = context.instance.get_run_record_by_id(run_id)
        began = record is not None and record.start_time is not None
        changed = endings.mark_lost(connection, batch, error=message, now=now, began=began)
    else:
        changed = ledger.mark_failed(
            connection, batch_id, run_id=run_id, error_class=found[0], error=found[1], now=now
        )
        if changed and not stopped:
            outages.note_failures(connection, batch_id, run_id, now)
    kind = found[0] if found else "unreported"
    return f"{batch_id}: {kind} failure {'recorded' if changed else 'known'}"


# Neither returns anything: with an answer Dagster ends the tick after one run.
@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    name="batch_run_failed",
    description="Marks the batch of a failed run for its next attempt, or for an operator.",
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def batch_run_failed(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> None:
    """A run of a batch failed."""
    context.log.info(_record(context, postgres, stopped=False))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.CANCELED,
    name="batch_run_canceled",
    description="Leaves the batch of a cancelled run to an operator.",
    minimum_interval_seconds=CANCELED_LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def batch_run_canceled(context: dg.RunStatusSensorContext, postgres: PostgresResource) -> None:
    """A run of a batch was cancelled."""
    context.log.info(_record(context, postgres, stopped=True))
