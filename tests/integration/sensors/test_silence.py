"""Sensors and schedules that do not tick, on Dagster's own storage in Postgres."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterInvariantViolationError
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from migrations.upgrade import upgrade
from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.webhook import WebhookResource
from sensors.silence import (
    SilenceError,
    Silent,
    last_ticks,
    looking_since,
    mend_half_written,
    schedule_watch,
    schedules_due,
    sensor_watch,
    sensors_due,
    silent,
    tell,
)

pytestmark = pytest.mark.servers("postgres")

SENSOR = InstigatorType.SENSOR
NOW = datetime(2026, 11, 22, 10, 15, 3, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


def state_of(
    name: str,
    status: InstigatorStatus = InstigatorStatus.DECLARED_IN_CODE,
    kind: InstigatorType = SENSOR,
) -> InstigatorState:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    if kind == SENSOR:
        return InstigatorState(origin, kind, status, SensorInstigatorData(min_interval=4))
    return InstigatorState(origin, kind, status, ScheduleInstigatorData("* * * * *"))


def killed_in_between(instance: dg.DagsterInstance, env, name: str) -> None:
    """What is there when the daemon dies between the two rows of its first look at a sensor."""
    instance.add_instigator_state(state_of(name))
    with psycopg.connect(env["DAGSTER_POSTGRES_URL"]) as connection:
        connection.execute(
            "DELETE FROM instigators WHERE selector_id = %s", (state_of(name).selector_id,)
        )
        connection.execute("UPDATE jobs SET create_timestamp = create_timestamp - '61 s'::interval")


def test_a_half_written_sensor_ticks_again(instance, env):
    killed_in_between(instance, env, "campaigns_gcs_sensor")
    instance.add_instigator_state(state_of("whole"))
    with pytest.raises(DagsterInvariantViolationError, match="already present"):
        instance.add_instigator_state(state_of("campaigns_gcs_sensor"))
    assert mend_half_written(instance) == ["campaigns_gcs_sensor"]
    # What the daemon does at its next look, and at every tick.
    added = instance.add_instigator_state(state_of("campaigns_gcs_sensor"))
    instance.update_instigator_state(added)
    assert mend_half_written(instance) == []
    names = {state.instigator_name for state in instance.all_instigator_state()}
    assert names == {"campaigns_gcs_sensor", "whole"}


def test_rows_that_are_being_written_are_left_alone(instance, env):
    killed_in_between(instance, env, "young")
    with psycopg.connect(env["DAGSTER_POSTGRES_URL"]) as connection:
        connection.execute("UPDATE jobs SET create_timestamp = CURRENT_TIMESTAMP")
    assert mend_half_written(instance) == []


def ticked(instance: dg.DagsterInstance, state: InstigatorState, *times: datetime) -> None:
    for time in times:
        instance.create_tick(
            TickData(
                state.instigator_origin_id, state.instigator_name, state.instigator_type,
                TickStatus.SKIPPED, time.timestamp(), selector_id=state.selector_id,
            )
        )  # fmt: skip


def test_the_last_tick_of_what_is_switched_on(instance):
    states = [state_of("a"), state_of("b"), state_of("off", InstigatorStatus.STOPPED)]
    for state in states:
        instance.add_instigator_state(state)
    ticked(instance, states[0], NOW - MINUTE, NOW)
    found = last_ticks(instance, ["a", "b", "off", "unknown"], SENSOR)
    assert found == {"a": NOW, "b": None, "unknown": None}


def test_looking_began_anew_after_a_pause(instance):
    state = state_of("watch")
    instance.add_instigator_state(state)
    ticked(instance, state, *(NOW - n * MINUTE for n in (30, 20, 4, 3, 2, 1)))
    assert looking_since(instance, "watch", SENSOR, NOW) == NOW - 4 * MINUTE
    assert looking_since(instance, "another", SENSOR, NOW) == NOW


def test_who_is_silent_is_told_once_a_day(env):
    upgrade(env["POSTGRES_URL"])
    postgres = PostgresResource(url=env["POSTGRES_URL"])
    found = [Silent("dead_run_reaper", NOW), Silent("new_sensor", None)]
    for _ in range(2):
        with pytest.raises(SilenceError, match="new_sensor has not ticked ever"):
            tell(found, ["x"], postgres, ["telegram", "webhook"], NOW)
    with postgres.connect() as connection:
        rows = connection.execute("SELECT title, channel FROM alerts.outbox ORDER BY 1, 2")
        told = rows.fetchall()
    assert told == [
        (title, channel)
        for title in (
            "dead_run_reaper has not ticked since 2026-11-22 10:15:03 UTC",
            "new_sensor has not ticked ever",
        )
        for channel in ("telegram", "webhook")
    ]
    assert "mended, it will tick again: x" in str(
        tell([], ["x"], postgres, ["telegram"], NOW).skip_message
    )


def test_silence_is_a_matter_of_the_own_interval():
    @dg.sensor(minimum_interval_seconds=4, default_status=dg.DefaultSensorStatus.RUNNING)
    def fast():
        return None

    @dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
    def slow():
        return None

    @dg.sensor(minimum_interval_seconds=4)
    def by_hand():
        return None

    due = sensors_due([fast, slow, by_hand], NOW)
    assert due == {"fast": NOW - 5 * MINUTE, "slow": NOW - 20 * MINUTE}
    hour = NOW - 60 * MINUTE
    late = {"fast": NOW - 6 * MINUTE, "slow": NOW - 6 * MINUTE}
    assert silent(due, late, hour) == [Silent("fast", late["fast"])]
    assert silent(due, {"fast": None}, hour) == [Silent("fast", None)]
    assert silent(due, {}, hour) == [], "somebody switched them off"
    assert silent(due, late, NOW - 4 * MINUTE) == [], "nobody has looked for long enough"


def test_a_schedule_is_due_when_its_cron_says_so():
    hourly = dg.ScheduleDefinition(
        name="hourly",
        job_name="x",
        cron_schedule="20 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    by_hand = dg.ScheduleDefinition(name="by_hand", job_name="x", cron_schedule="* * * * *")
    due = schedules_due([hourly, by_hand], NOW)
    assert due == {"hourly": datetime(2026, 11, 22, 9, 20, tzinfo=UTC)}
    long_ago = NOW - 120 * MINUTE
    assert silent(due, {"hourly": due["hourly"]}, long_ago) == []
    missed = due["hourly"] - 60 * MINUTE
    assert silent(due, {"hourly": missed}, long_ago) == [Silent("hourly", missed)]


@pytest.fixture
def repository():
    @dg.sensor(job_name="maintenance", default_status=dg.DefaultSensorStatus.RUNNING)
    def reaper():
        return None

    @dg.job
    def maintenance():
        return None

    return dg.Definitions(
        jobs=[maintenance],
        sensors=[reaper, schedule_watch],
        schedules=[sensor_watch],
    ).get_repository_def()


def test_the_watches_see_each_other_s_loop(instance, env, repository):
    upgrade(env["POSTGRES_URL"])
    postgres = PostgresResource(url=env["POSTGRES_URL"])
    resources = {
        "postgres": postgres,
        "telegram": TelegramResource(),
        "webhook": WebhookResource(),
    }
    now = datetime.now(UTC)
    watch = state_of("sensor_watch", kind=InstigatorType.SCHEDULE)
    instance.add_instigator_state(watch)
    ticked(instance, watch, *(now - n * MINUTE for n in range(15)))
    alive = state_of("schedule_watch")
    instance.add_instigator_state(alive)
    ticked(instance, alive, *(now - n * MINUTE for n in range(15)))
    killed_in_between(instance, env, "reaper")
    context = dg.build_schedule_context(
        instance=instance, repository_def=repository, resources=resources
    )
    with context, pytest.raises(SilenceError, match=r"mended.* reaper; reaper has not ticked ever"):
        sensor_watch(context)
    reaper = instance.add_instigator_state(state_of("reaper"))
    ticked(instance, reaper, now)
    with context:
        assert sensor_watch(context).skip_message == "All tick."
    looking = dg.build_sensor_context(
        instance=instance, repository_def=repository, resources=resources
    )
    with looking:
        assert schedule_watch(looking).skip_message == "All tick."
