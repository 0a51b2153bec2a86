"""Tells people of runs that ended, and sends what waits in the outbox.

Belongs here: the sensors, and which runs they tell of. Does not: the words (``run_story.py``), the
sending (``assets.frame.outbox``). A tick that fails costs no run anything.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import outbox
from assets.frame.alert_channels import Alert, Channel, channels, names
from assets.pipelines import without_secrets
from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors import run_story
from sensors.run_story import AlertedRuns, Ending, Failure, Told

if TYPE_CHECKING:
    import psycopg
    from dagster._core.event_api import RunStatusChangeEventType

#: Seconds between two looks at runs that ended, and between two into the outbox: nobody waits for a
#: message by the second, and every tick costs the daemon and the code server 30 CPU-ms.
LOOK_SECONDS = 19
DELIVERY_SECONDS = 19

ALERTED: tuple[AlertedRuns, ...] = (
    AlertedRuns(
        pipeline="domains",
        endings=frozenset({"success", "failure"}),
        result=dg.AssetKey(["domains", "published_descriptions"]),
        told=(
            Told("published", "domains published"),
            Told("rejected", "rejected"),
            Told("cost_dollars", "cost", money=True),
            Told("dagster/uri", "files"),
        ),
    ),
)

_EVENTS: dict[Ending, "RunStatusChangeEventType"] = {
    "success": dg.DagsterEventType.RUN_SUCCESS,
    "failure": dg.DagsterEventType.RUN_FAILURE,
    "canceled": dg.DagsterEventType.RUN_CANCELED,
}

#: Runs that one tick looks at. A run status sensor of Dagster's ends its tick with the first of
#: which it has something to say: where more runs end than it ticks, it would fall behind for good.
RUNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has ended, and the event that says so."""

    instance: dg.DagsterInstance
    dagster_run: dg.DagsterRun
    dagster_event: dg.DagsterEvent


def run_alerts(
    pipelines: Collection[str], alerted: Sequence[AlertedRuns] = ALERTED
) -> list[dg.SensorDefinition]:
    """A sensor for every ending that a run of these pipelines is told of."""
    alerted = [runs for runs in alerted if runs.pipeline in pipelines]
    return [
        _run_alert(ending, [runs for runs in alerted if ending in runs.endings])
        for ending in _EVENTS
        if any(ending in runs.endings for runs in alerted)
    ]


def _run_alert(ending: Ending, alerted: Sequence[AlertedRuns]) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"run_{ending}_alert",
        description="Puts one message per run into the outbox, for "
        + ", ".join(runs.pipeline for runs in alerted),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def run_alert(
        context: dg.SensorEvaluationContext,
        postgres: PostgresResource,
        ui: UserInterfaceResource,
        telegram: TelegramResource,
        webhook: WebhookResource,
    ) -> dg.SkipReason:
        said = []
        for ended in _ended_since(context, ending):
            run = ended.dagster_run
            runs = next((one for one in alerted if one.concerns(run)), None)
            alert = _TELLERS[ending](ended, runs, ui.run(run.run_id)) if runs else None
            if alert is None:
                continue
            with postgres.connect() as connection:
                told = names(channels(telegram, webhook))
                added = outbox.enqueue(connection, alert, datetime.now(UTC), told)
            said.append(f"{alert.title}: {'in the outbox' if added else 'told before'}")
        return dg.SkipReason("; ".join(said) or "Nobody waits to hear of a run that ended.")

    return run_alert


def _ended_since(context: dg.SensorEvaluationContext, ending: Ending) -> Iterator[EndedRun]:
    """Runs that ended so since the cursor, which follows; of before the first tick none."""
    instance, kind = context.instance, _EVENTS[ending]
    after = _position(context.cursor)
    if after is None:
        last = instance.fetch_run_status_changes(kind, limit=1).records
        context.update_cursor(str(last[0].storage_id if last else 0))
        return
    changes = instance.fetch_run_status_changes(
        dg.RunStatusChangeRecordsFilter(kind, after_storage_id=after),
        ascending=True,
        limit=RUNS_AT_ONCE,
    )
    for record in changes.records:
        run = instance.get_run_by_id(record.event_log_entry.run_id)
        event = record.event_log_entry.dagster_event
        if run is not None and event is not None:  # runs can be deleted
            yield EndedRun(instance, run, event)
        context.update_cursor(str(record.storage_id))


def _position(cursor: str | None) -> int | None:
    """The storage id in a cursor, also in one of Dagster's own run status sensors, as it was."""
    if not cursor:
        return None
    found = json.loads(cursor)
    return int(found["record_id"] if isinstance(found, dict) else found)


def _success(ended: EndedRun, runs: AlertedRuns, link: str) -> Alert | None:
    return run_story.success(runs, ended.dagster_run, _results(ended, runs), link)


def _failure(ended: EndedRun, runs: AlertedRuns, link: str) -> Alert:
    found = _failures(ended)
    return run_story.failure(
        runs, ended.dagster_run, found, link, lambda text: without_secrets(text, os.environ)
    )


def _canceled(ended: EndedRun, runs: AlertedRuns, link: str) -> Alert:
    return run_story.canceled(runs, ended.dagster_run, link)


_TELLERS: dict[Ending, Callable[[EndedRun, AlertedRuns, str], Alert | None]] = {
    "success": _success,
    "failure": _failure,
    "canceled": _canceled,
}


def _results(ended: EndedRun, runs: AlertedRuns) -> list[dict[str, Any]]:
    """The metadata of what the run materialized of the result, a dictionary per partition."""
    records = ended.instance.all_logs(
        ended.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    events = [record.asset_materialization for record in records]
    return [
        {name: value.value for name, value in event.metadata.items()}
        for event in events
        if event and event.asset_key == runs.result
    ]


def _failures(ended: EndedRun) -> list[Failure]:
    records = ended.instance.all_logs(
        ended.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    )
    events = [record.dagster_event for record in records if record.dagster_event]
    found = [
        run_story.failure_of(event.step_key, event.step_failure_data.error)
        for event in events
        if event.step_failure_data.error
    ]
    # A run whose process died has no step that could say why.
    text = ended.dagster_event.message or "The run failed."
    return found or [Failure("", "RunFailed", text.splitlines()[0])]


@dg.sensor(
    name="alert_delivery",
    description="Sends what waits in the outbox to Telegram, to a webhook, or both.",
    minimum_interval_seconds=DELIVERY_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def alert_delivery(
    _context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    telegram: TelegramResource,
    webhook: WebhookResource,
) -> dg.SkipReason:
    """A storm is one message; what a channel does not take now waits."""
    told = channels(telegram, webhook)
    with postgres.connect(autocommit=True) as connection:
        if not told:
            count = outbox.waiting(connection)
            return dg.SkipReason(
                f"{count} waiting; no channel is configured: set TELEGRAM_BOT_TOKEN and _CHAT_ID, "
                "or ALERT_WEBHOOK_URL."
            )
        said = [_deliver(connection, channel, len(told)) for channel in told]
    return dg.SkipReason("; ".join(said))


def _deliver(connection: "psycopg.Connection[Any]", channel: Channel, among: int) -> str:
    seconds = outbox.LONGEST_DELIVERY / among
    done = outbox.deliver(connection, channel, datetime.now(UTC), seconds=seconds)
    said = f"{channel.name}: {done.sent} sent, {done.waiting} waiting, {done.given_up} given up"
    return f"{said}; {done.problem}" if done.problem else said
