"""Keeps one streaming session alive.

Belongs here: seeing sessions, asking for the next one, reporting dead ones. Does not: the decision
(``session_liveness``), the session itself (``assets.reading.session.assets``), other runs that died
(``sensors.reaper``).

A session is alive while its process holds the run's advisory lock, which the server frees when the
process dies. To stop streaming stop this sensor, then cancel the run.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import dagster as dg

from assets.frame import outbox
from assets.frame.alert_channels import Alert, channels, names
from assets.frame.alert_text import escaped
from assets.reading.session.job import SESSION_TAG
from assets.reading.settings import ReadingSettings
from landing.batch import locks
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors.session_liveness import (
    TOLD_FAILURES,
    Decision,
    Ended,
    Seen,
    SessionRow,
    SessionRun,
    decide,
    is_lost,
)

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Below two of the daemon's loops of 5 s: at 10 it would miss every other look by milliseconds.
INTERVAL_SECONDS = 9

_RECENT = 10
_ASK_SECONDS = 5.0

_WAITING = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
)
_RUNNING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


@dg.sensor(
    name="reading_session_sensor",
    description="Keeps exactly one streaming session alive while there are subscriptions to serve.",
    job_name="reading_stream",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def reading_session_sensor(  # noqa: PLR0917 - Dagster passes resources by name
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    pubsub: PubSubResource,
    reading: ReadingSettings,
    telegram: TelegramResource,
    webhook: WebhookResource,
    ui: UserInterfaceResource,
) -> dg.SensorResult | dg.SkipReason:
    """A session that died is reported and replaced within about 15 s."""
    if reading.stream != "session":
        return dg.SkipReason(f"READING_STREAM is {reading.stream}: ingestion is managed.")
    instance, now = context.instance, time.time()
    with postgres.connect(autocommit=True) as conn:
        rows = session_rows(conn)
        runs = session_runs(instance, conn, rows, now, seconds=reading.session_seconds)
        known = {run.run_id for run in runs}
        strays = [row.session_id for row in rows if row.locked and row.session_id not in known]
        decision = decide(
            runs, strays, Seen(**json.loads(context.cursor or "{}")), ended_runs(instance, now), now
        )
        for run_id in decision.dead:
            _report(instance, run_id)
        lost = [row.session_id for row in rows if is_lost(row, ended=row.session_id not in known)]
        _mark_failed(conn, [*decision.dead, *lost])
    cursor = json.dumps(asdict(decision.seen))
    absent = absent_subscriptions(pubsub, reading) if decision.request else None
    alert = session_alert(decision, absent, datetime.fromtimestamp(now, UTC), ui)
    if alert:
        with postgres.connect() as conn:
            outbox.enqueue(conn, alert, datetime.now(UTC), names(channels(telegram, webhook)))
    if not decision.request or absent:
        message = absent or decision.message
        return dg.SensorResult(skip_reason=dg.SkipReason(message), cursor=cursor)
    return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=cursor)


def session_alert(
    decision: Decision, absent: str | None, now: datetime, ui: UserInterfaceResource
) -> Alert | None:
    """That no session can start, and why; once a day and reason. Pure."""
    if absent:
        kind, why = "absent", absent
    elif decision.failures >= TOLD_FAILURES:
        kind = "failing"
        why = f"{decision.failures} sessions in a row failed at once. See the last run's error."
    else:
        return None
    return Alert(
        dedupe_key=f"reading-session/{kind}/{now:%Y-%m-%d}",
        title="reading: no streaming session can start",
        body_html=escaped(why),
        severity="error",
        link=ui.job("reading_stream"),
    )


def session_rows(conn: "Connection") -> list[SessionRow]:
    """The sessions that have not ended by their own account."""
    rows = conn.execute(
        """
        SELECT session_id, state,
               extract(epoch FROM clock_timestamp() - updated_at)::double precision
        FROM reading.session WHERE state IN ('serving', 'draining') ORDER BY started_at
        """
    ).fetchall()
    return [
        SessionRow(session_id, state, silent, locks.run_lock_held(conn, session_id))
        for session_id, state, silent in rows
    ]


def session_runs(
    instance: dg.DagsterInstance,
    conn: "Connection",
    rows: Sequence[SessionRow],
    now: float,
    *,
    seconds: float,
) -> list[SessionRun]:
    """The sessions' runs that have not ended in Dagster's eyes. A session serves ``seconds``."""
    by_id = {row.session_id: row for row in rows}
    records = instance.get_run_records(
        dg.RunsFilter(statuses=[*_WAITING, *_RUNNING], tags={SESSION_TAG: "reading"})
    )
    runs = []
    for record in records:
        run = record.dagster_run
        status: Literal["waiting", "running", "canceling"] = "waiting"
        if run.status in _RUNNING:
            started = run.status == dg.DagsterRunStatus.STARTED
            status = "running" if started else "canceling"
        age = now - (record.start_time or now)
        runs.append(
            SessionRun(
                run.run_id,
                status,
                locked=status != "waiting" and locks.run_lock_held(conn, run.run_id),
                age=age,
                row=by_id.get(run.run_id),
                left=seconds - age,
            )
        )
    return runs


def ended_runs(instance: dg.DagsterInstance, now: float) -> list[Ended]:
    """The sessions' last runs that have ended, the last one first."""
    records = instance.get_run_records(
        dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.SUCCESS,
                dg.DagsterRunStatus.FAILURE,
                dg.DagsterRunStatus.CANCELED,
            ],
            tags={SESSION_TAG: "reading"},
        ),
        limit=_RECENT,
    )
    return [
        Ended(
            record.dagster_run.status == dg.DagsterRunStatus.FAILURE,
            lifetime=(record.end_time or now) - (record.start_time or record.end_time or now),
            ago=now - (record.end_time or now),
        )
        for record in records
    ]


def absent_subscriptions(pubsub: PubSubResource, reading: ReadingSettings) -> str | None:
    """Why there is nothing to serve now; None when both subscriptions are there.

    Who may only consume cannot ask: then they are taken to be there.
    """
    from google.api_core.exceptions import GoogleAPICallError, NotFound, PermissionDenied

    with pubsub.subscriber() as client:
        for name in (reading.interaction_subscription, reading.meta_subscription):
            path = pubsub.subscription_path(name)
            try:
                client.get_subscription(subscription=path, timeout=_ASK_SECONDS, retry=None)
            except PermissionDenied:
                continue
            except NotFound:
                return f"There is no {path}. Create it: see docs/reading.md."
            except GoogleAPICallError as error:
                return f"Pub/Sub does not answer for {path}: {error}"
    return None


def _report(instance: dg.DagsterInstance, run_id: str) -> None:
    """End the run in Dagster's eyes, unless it has ended meanwhile."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    message = "The session's process ended without reporting: its lock is free, its row stands."
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message=message)
    else:
        instance.report_run_failed(run, message=message)


def _mark_failed(conn: "Connection", session_ids: Sequence[str]) -> None:
    conn.execute(
        """
        UPDATE reading.session SET state = 'failed', ended_at = updated_at,
            error = 'its process ended without reporting'
        WHERE session_id = ANY(%s) AND state IN ('serving', 'draining')
        """,
        (list(session_ids),),
    )
