"""Notices sensors and schedules that run by default and do not tick, and mends what keeps them.

Belongs here: the schedule that looks after the sensors, and the sensor that looks after the
schedules: Dagster's daemon evaluates the two kinds in loops of their own, so that whichever is
silent, the other says so. Does not: whether the daemon runs at all, which only somebody outside of
it can see (its container's health check, ``make status``).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType

from assets.frame import outbox
from assets.frame.alert_channels import Alert, channels, names
from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.webhook import WebhookResource

#: A sensor is silent after so many of its intervals, and not before LEAST_SILENCE: a tick may take
#: a minute, and a code server as long to start.
INTERVALS = 20
LEAST_SILENCE = timedelta(minutes=5)

#: Seconds between two looks at the schedules.
LOOK_SECONDS = 60
#: A longer pause between two looks means that the daemon was away, and looking began anew.
GAP = timedelta(minutes=3)
LONGEST_LOOK = timedelta(hours=2)


class SilenceError(Exception):
    """Something that runs by default does not tick: the tick that sees it fails, to be seen."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A sensor or schedule without a tick since ``last``; None when it has never ticked."""

    name: str
    last: datetime | None

    def __str__(self) -> str:
        when = f"since {self.last:%Y-%m-%d %H:%M:%S} UTC" if self.last else "ever"
        return f"{self.name} has not ticked {when}"


def silent(
    due: Mapping[str, datetime], ticked: Mapping[str, datetime | None], since: datetime
) -> list[Silent]:
    """Which of those that should have ticked since ``due`` have not. Pure.

    ``ticked`` has the last tick of those that are switched on, None for one without. Whoever looks
    does so since ``since``: what was due before is not missed yet, for nothing may have run then.
    """
    return [
        Silent(name, ticked[name])
        for name, when in sorted(due.items())
        if name in ticked and when >= since and (ticked[name] or since) < when
    ]


def sensors_due(sensors: Sequence[dg.SensorDefinition], now: datetime) -> dict[str, datetime]:
    """Since when each sensor that runs by default must have ticked."""
    return {
        sensor.name: now
        - max(INTERVALS * timedelta(seconds=sensor.minimum_interval_seconds or 30), LEAST_SILENCE)
        for sensor in sensors
        if sensor.default_status == dg.DefaultSensorStatus.RUNNING
    }


def schedules_due(schedules: Sequence[dg.ScheduleDefinition], now: datetime) -> dict[str, datetime]:
    """As :func:`sensors_due`: the last but one time that a schedule names, and some minutes."""
    from dagster._utils.schedules import reverse_cron_string_iterator

    due = {}
    for schedule in schedules:
        if schedule.default_status == dg.DefaultScheduleStatus.RUNNING:
            end = (now - LEAST_SILENCE).timestamp()
            cron = str(schedule.cron_schedule)
            due[schedule.name] = next(
                reverse_cron_string_iterator(end, cron, schedule.execution_timezone)
            )
    return due


def last_ticks(
    instance: dg.DagsterInstance, names: Sequence[str], kind: InstigatorType
) -> dict[str, datetime | None]:
    """The last tick of each that is not switched off, whether or not Dagster has met it yet."""
    from dagster._core.scheduler.instigation import InstigatorStatus

    states = {
        state.instigator_name: state
        for state in instance.all_instigator_state(instigator_type=kind)
        if state.instigator_name in names
    }
    found: dict[str, datetime | None] = {}
    for name in names:
        state = states.get(name)
        if state is None:
            found[name] = None
        elif state.status != InstigatorStatus.STOPPED:
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
            found[name] = datetime.fromtimestamp(ticks[0].timestamp, UTC) if ticks else None
    return found


def mend_half_written(instance: dg.DagsterInstance) -> list[str]:
    """Let Dagster write anew what a kill left half of; the names of what it was about.

    The daemon's first look at a sensor writes a row each to ``jobs`` and ``instigators``, in two
    transactions. Killed in between, it finds no ``instigators`` row ever after, and the ``jobs``
    row refuses the next attempt: this sensor, and all behind it in the daemon's loop, never tick
    again. Dagster offers nothing against that: what it reads is ``instigators`` alone, so that such
    a row of ``jobs``, a minute old and never updated since (then it has a selector), may go.
    """
    import sqlalchemy as db
    from dagster._core.scheduler.instigation import InstigatorState
    from dagster._core.storage.schedules.sql_schedule_storage import SqlScheduleStorage
    from dagster._serdes import deserialize_value

    storage = instance.schedule_storage
    if not isinstance(storage, SqlScheduleStorage):
        return []
    mended = []
    with storage.connect() as connection:
        rows = connection.execute(db.text(_HALF_WRITTEN)).fetchall()
        for origin_id, body in rows:
            state = deserialize_value(body, InstigatorState)
            if storage.get_instigator_state(origin_id, state.selector_id) is None:
                connection.execute(db.text(_REMOVE), {"origin": origin_id})
                mended.append(state.instigator_name)
    return mended


_HALF_WRITTEN = """
SELECT job_origin_id, job_body FROM jobs
WHERE selector_id IS NULL AND create_timestamp < CURRENT_TIMESTAMP - interval '1 minute'
"""
_REMOVE = "DELETE FROM jobs WHERE job_origin_id = :origin AND selector_id IS NULL"


def looking_since(
    instance: dg.DagsterInstance, name: str, kind: InstigatorType, now: datetime
) -> datetime:
    """Since when the one that looks has ticked without a gap, two hours at most.

    After the daemon was away everything has been silent, and nothing is wrong.
    """
    since = now
    for state in instance.all_instigator_state(instigator_type=kind):
        if state.instigator_name == name:
            after = (now - LONGEST_LOOK).timestamp()
            ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=after)
            times = sorted(datetime.fromtimestamp(one.timestamp, UTC) for one in ticks)
            for time in reversed(times):
                if since - time > GAP:
                    break
                since = min(since, time)
    return since


def tell(
    found: Sequence[Silent],
    mended: Sequence[str],
    postgres: PostgresResource,
    told: Sequence[str],
    now: datetime,
) -> dg.SkipReason:
    """Say what was seen; each silence is an alert once a day, on the channels ``told``.

    Raises SilenceError for any.
    """
    said = [f"mended, it will tick again: {name}" for name in mended] + [str(one) for one in found]
    if found:
        with postgres.connect() as connection:
            for one in found:
                alert = Alert(f"silent/{one.name}/{now:%Y-%m-%d}", str(one), severity="error")
                outbox.enqueue(connection, alert, now, told)
        raise SilenceError("; ".join(said))
    return dg.SkipReason("; ".join(said) or "All tick.")


@dg.schedule(
    name="sensor_watch",
    job_name="maintenance",
    cron_schedule="* * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sees that every sensor ticks, and mends what keeps one from it. It never runs the "
    "job: a tick that fails names who is silent.",
)
def sensor_watch(
    context: dg.ScheduleEvaluationContext,
    postgres: PostgresResource,
    telegram: TelegramResource,
    webhook: WebhookResource,
) -> dg.SkipReason:
    """Schedules are evaluated in another loop than sensors."""
    now, sensor = datetime.now(UTC), InstigatorType.SENSOR
    due = sensors_due(context.repository_def.sensor_defs, now)
    ticked = last_ticks(context.instance, list(due), sensor)
    since = looking_since(context.instance, "sensor_watch", InstigatorType.SCHEDULE, now)
    mended = mend_half_written(context.instance)
    told = names(channels(telegram, webhook))
    return tell(silent(due, ticked, since), mended, postgres, told, now)


@dg.sensor(
    name="schedule_watch",
    description="Sees that every schedule ticks, and mends what keeps one from it.",
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def schedule_watch(
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    telegram: TelegramResource,
    webhook: WebhookResource,
) -> dg.SkipReason:
    """The one that looks after the sensors is a schedule."""
    now, schedule = datetime.now(UTC), InstigatorType.SCHEDULE
    repository = context.repository_def
    due = schedules_due(repository.schedule_defs if repository else (), now)
    ticked = last_ticks(context.instance, list(due), schedule)
    since = looking_since(context.instance, "schedule_watch", InstigatorType.SENSOR, now)
    mended = mend_half_written(context.instance)
    told = names(channels(telegram, webhook))
    return tell(silent(due, ticked, since), mended, postgres, told, now)
