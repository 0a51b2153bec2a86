"""Tells people of what waits for them: one message per event, none per tick.

Belongs here: which events there are, their words, and the sensor that looks for them. Does not: the
ledger's answers (``landing.arrival.standing``), the sending (``sensors.alerts``).
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import outbox
from assets.frame.alert_channels import Alert, channels, names
from assets.frame.alert_text import escaped, shortened
from assets.frame.declared import LandedFiles, Pipeline
from assets.pipelines import without_secrets
from landing.arrival import outages, standing
from landing.arrival.outages import Outage
from landing.arrival.standing import LATE, Late, Stopped
from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

INTERVAL_SECONDS = 59
#: Batches that one tick tells of: more become a storm, of which so many are named anyway.
_BATCHES = 100
_ERROR_CHARACTERS = 500


def batch_stopped(batch: Stopped, link: str) -> Alert:
    """A batch failed for good; once per run that it failed in. Pure."""
    error = escaped(shortened(batch.error, _ERROR_CHARACTERS))
    return Alert(
        dedupe_key=f"batch-failed/{batch.batch_id}/{batch.run_id or batch.attempt}",
        title=f"{batch.pipeline}: batch {batch.batch_id} waits for you",
        body_html=f"{error}\n\n"
        f"Mend the cause, then <code>make replay BATCH={batch.batch_id}</code>.",
        severity="error",
        link=link,
    )


def objects_late(files: LandedFiles, late: Late, now: datetime, link: str) -> Alert | None:
    """Objects of a source are not loaded after their limit; once a day and source. Pure."""
    if not late.oldest:
        return None
    oldest = late.oldest[0]
    minutes = int((now - oldest.since).total_seconds() // 60)
    where = f"in batch {oldest.batch_id} ({oldest.state})" if oldest.batch_id else "in no batch yet"
    limit = int(LATE.total_seconds() // 60)
    return Alert(
        dedupe_key=f"object-late/{files.source_name}/{now:%Y-%m-%d}",
        title=f"{files.pipeline}: {late.count:,} objects wait for longer than {limit} minutes",
        body_html=f"The oldest is {escaped(shortened(oldest.name, _ERROR_CHARACTERS))}, for "
        f"{minutes:,} minutes, {where}. Look whether the daemon and "
        f"<code>{files.sensor}</code> run; <code>make batches</code> shows what waits.",
        severity="warning",
        link=link,
    )


def sink_away(files: LandedFiles, outage: Outage, link: str) -> Alert:
    """A sink is away and its batches go on without it; once per outage. Pure."""
    error = escaped(shortened(outage.error, _ERROR_CHARACTERS))
    return Alert(
        dedupe_key=f"sink-away/{outage.source}/{outage.sink}/{outage.since:%Y-%m-%dT%H:%M:%S}",
        title=f"{files.pipeline}: {outage.sink} is away since {outage.since:%Y-%m-%d %H:%M} UTC",
        body_html=f"{error}\n\nBatches go on for the other sinks; what this one lacks follows once "
        "it is back. <code>make doctor</code> asks every system.",
        severity="error",
        link=link,
    )


def troubles(
    connection: "Connection",
    landed: Sequence[LandedFiles],
    ui: UserInterfaceResource,
    now: datetime,
) -> Iterator[Alert]:
    """What there is to be told of these sources now, whether it was told before or not."""
    by_source = {files.source_name: files for files in landed}
    stopped, _ = standing.stopped(connection, list(by_source), limit=_BATCHES)
    for batch in stopped:
        page = ui.asset(by_source[batch.source].key(by_source[batch.source].validation))
        yield batch_stopped(batch, ui.run(batch.run_id) if batch.run_id else page)
    for outage in outages.known(connection, list(by_source)):
        files = by_source[outage.source]
        yield sink_away(files, outage, ui.asset(files.key(outage.sink)))
    for files in landed:
        # A batch that waits for an operator has a message of its own.
        late = standing.late(
            connection, files.source_name, now, limit=1, without=["failed_permanent"]
        )
        alert = objects_late(files, late, now, ui.asset(files.landing_key))
        if alert:
            yield alert


def trouble_alerts(pipelines: Sequence[Pipeline]) -> dg.SensorDefinition:
    """The sensor that looks after these pipelines."""
    landed = [files for pipeline in pipelines for files in pipeline.landed]

    @dg.sensor(
        name="trouble_alerts",
        description="Puts into the outbox what needs a person: batches that failed for good, "
        "sinks that are away, objects that wait for too long, streams that do not get on.",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def look(
        _context: dg.SensorEvaluationContext,
        postgres: PostgresResource,
        telegram: TelegramResource,
        webhook: WebhookResource,
        ui: UserInterfaceResource,
    ) -> dg.SkipReason:
        now = datetime.now(UTC)
        told = names(channels(telegram, webhook))
        with postgres.connect() as connection:
            all_troubles = [
                *troubles(connection, landed, ui, now),
                *(
                    alert
                    for one in pipelines
                    if one.troubles
                    for alert in one.troubles(connection, now, ui.home)
                ),
            ]
            found = [_clean(alert) for alert in all_troubles]
            new = [alert for alert in found if outbox.enqueue(connection, alert, now, told)]
        return dg.SkipReason(f"{len(found)} troubles, {len(new)} new")

    return look


def _clean(alert: Alert) -> Alert:
    """Errors of clients may name what they were given."""
    return replace(alert, body_html=without_secrets(alert.body_html, os.environ))
