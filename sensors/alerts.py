"""Tells people of runs that ended, and sends what waits in the outbox.

Belongs here: the sensors, and which runs they tell of. Does not: the words (``run_story.py``), the
sending (``assets.frame.outbox``). A tick that fails costs no run anything.
"""

import os
from collections.abc import Callable, Collection, Sequence
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

_STATUSES: dict[Ending, dg.DagsterRunStatus] = {
    "success": dg.DagsterRunStatus.SUCCESS,
    "failure": dg.DagsterRunStatus.FAILURE,
    "canceled": dg.DagsterRunStatus.CANCELED,
}


def run_alerts(
    pipelines: Collection[str], alerted: Sequence[AlertedRuns] = ALERTED
) -> list[dg.SensorDefinition]:
    """A sensor for every ending that a run of these pipelines is told of."""
    alerted = [runs for runs in alerted if runs.pipeline in pipelines]
    return [
        _run_alert(ending, [runs for runs in alerted if ending in runs.endings])
        for ending in _STATUSES
        if any(ending in runs.endings for runs in alerted)
    ]


def _run_alert(ending: Ending, alerted: Sequence[AlertedRuns]) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=_STATUSES[ending],
        name=f"run_{ending}_alert",
        description="Puts one message per run into the outbox, for "
        + ", ".join(runs.pipeline for runs in alerted),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def run_alert(
        context: dg.RunStatusSensorContext,
        postgres: PostgresResource,
        ui: UserInterfaceResource,
        telegram: TelegramResource,
        webhook: WebhookResource,
    ) -> dg.SkipReason:
        run = context.dagster_run
        runs = next((one for one in alerted if one.concerns(run)), None)
        alert = _TELLERS[ending](context, runs, ui.run(run.run_id)) if runs else None
        if alert is None:
            return dg.SkipReason(f"Nobody waits to hear of run {run.run_id}.")
        with postgres.connect() as connection:
            told = names(channels(telegram, webhook))
            added = outbox.enqueue(connection, alert, datetime.now(UTC), told)
        return dg.SkipReason(f"{alert.title}: {'in the outbox' if added else 'told before'}")

    return run_alert


def _success(context: dg.RunStatusSensorContext, runs: AlertedRuns, link: str) -> Alert | None:
    return run_story.success(runs, context.dagster_run, _results(context, runs), link)


def _failure(context: dg.RunStatusSensorContext, runs: AlertedRuns, link: str) -> Alert:
    found = _failures(context)
    return run_story.failure(
        runs, context.dagster_run, found, link, lambda text: without_secrets(text, os.environ)
    )


def _canceled(context: dg.RunStatusSensorContext, runs: AlertedRuns, link: str) -> Alert:
    return run_story.canceled(runs, context.dagster_run, link)


_TELLERS: dict[Ending, Callable[[dg.RunStatusSensorContext, AlertedRuns, str], Alert | None]] = {
    "success": _success,
    "failure": _failure,
    "canceled": _canceled,
}


def _results(context: dg.RunStatusSensorContext, runs: AlertedRuns) -> list[dict[str, Any]]:
    """The metadata of what the run materialized of the result, a dictionary per partition."""
    records = context.instance.all_logs(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    events = [record.asset_materialization for record in records]
    return [
        {name: value.value for name, value in event.metadata.items()}
        for event in events
        if event and event.asset_key == runs.result
    ]


def _failures(context: dg.RunStatusSensorContext) -> list[Failure]:
    records = context.instance.all_logs(
        context.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE
    )
    events = [record.dagster_event for record in records if record.dagster_event]
    found = [
        run_story.failure_of(event.step_key, event.step_failure_data.error)
        for event in events
        if event.step_failure_data.error
    ]
    # A run whose process died has no step that could say why.
    text = context.dagster_event.message or "The run failed."
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
