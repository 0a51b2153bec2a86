"""Runs that died or were cancelled, as real processes: what Dagster and the ledger say of them."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime

import dagster as dg
import psycopg
import pytest

from landing.arrival import companions, ledger
from landing.batch.locks import run_lock_held
from migrations.upgrade import upgrade
from resources.postgres import PostgresResource
from sensors import reaper
from sensors.outcomes import batch_run_canceled, batch_run_failed
from tests.integration.jobs.guarded_jobs import POOL
from tests.integration.jobs.run_process import run_process, started_run, wait_until

pytestmark = pytest.mark.servers("postgres")

BATCH = "20261122T101503Z-0001"
TAGS = {"test": "it", "dagster/partition": BATCH}
ENDS = {
    dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterRunStatus.CANCELED: dg.DagsterEventType.RUN_CANCELED,
}


@pytest.fixture
def postgres(env):
    upgrade(env["POSTGRES_URL"])
    return PostgresResource(url=env["POSTGRES_URL"])


@pytest.fixture
def connection(env, postgres):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        opened.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at)"
            " VALUES (%s, 'campaigns_gcs', 'campaigns', 1, 1, now())",
            (BATCH,),
        )
        ledger.mark_requested(opened, BATCH, 1, datetime.now(UTC))
        yield opened


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


class Reaper:
    """The sensor, tick by tick, at times that the test chooses (seconds)."""

    def __init__(self, instance, postgres):
        self.instance, self.postgres, self.cursor = instance, postgres, None
        self.now = 1_000_000.0

    def time(self):
        return self.now

    def tick(self, after=0.0):
        self.now += after
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"postgres": self.postgres}
        ) as context:
            told = reaper.dead_run_reaper(context)
            self.cursor = context.cursor
        return told.skip_message


@pytest.fixture
def reap(instance, postgres, monkeypatch):
    ticks = Reaper(instance, postgres)
    # Only this module is given the clock: Dagster's own records of time must stay true.
    monkeypatch.setattr(reaper, "time", ticks)
    return ticks


def tell_ledger(sensor, instance, postgres, run_id):
    """What the daemon does once it sees that the run has ended."""
    run = instance.get_run_by_id(run_id)
    ending = ENDS[run.status]
    (event,) = [
        record.dagster_event
        for record in instance.all_logs(run_id)
        if record.dagster_event and record.dagster_event.event_type == ending
    ]
    with dg.build_run_status_sensor_context(
        sensor_name=sensor.name,
        dagster_event=event,
        dagster_instance=instance,
        dagster_run=run,
        resources={"postgres": postgres},
    ) as context:
        return sensor(context)


def status(instance, run):
    return instance.get_run_by_id(run.run_id).status


def holders(instance):
    """The runs that hold the slot of the waiting job's pool."""
    return instance.event_log_storage.get_concurrency_info(POOL).active_run_ids


def test_a_killed_run_is_reported_after_the_grace_and_its_batch_tried_again(
    instance, postgres, connection, reap
):
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        ledger.mark_running(connection, BATCH, run.run_id, datetime.now(UTC))
        assert "1 runs started, 1 alive" in reap.tick()
        assert "1 alive" in reap.tick(after=1_000)
        wait_until(lambda: holders(instance) == {run.run_id}, 20)
        process.kill_family()
    wait_until(lambda: not run_lock_held(connection, run.run_id), 20)

    assert "1 without a lock, 0 reported dead" in reap.tick()
    reap.tick(after=reaper.GRACE)
    assert status(instance, run) == dg.DagsterRunStatus.STARTED, "not a moment too soon"
    assert holders(instance) == {run.run_id}
    assert "1 reported dead" in reap.tick(after=1)
    assert holders(instance) == set(), "its successor would wait half a minute for the pool"
    assert status(instance, run) == dg.DagsterRunStatus.FAILURE
    assert "0 runs started" in reap.tick(after=1)
    assert json.loads(reap.cursor) == {}

    tell_ledger(batch_run_failed, instance, postgres, run.run_id)
    batch = ledger.batch(connection, BATCH)
    assert (batch.state, batch.error_class) == ("failed_transient", "transient")
    assert "ended without reporting" in batch.error
    assert batch.next_attempt_at <= datetime.now(UTC), "the sinks are not to blame: at once"


def test_a_run_that_works_is_never_reported(instance, connection, reap):
    with run_process("waiting_job", tags=TAGS):
        run = started_run(instance, "it")
        for _ in range(5):
            assert "0 reported dead" in reap.tick(after=3_600)
        assert status(instance, run) == dg.DagsterRunStatus.STARTED


def test_a_run_that_dies_while_it_is_being_cancelled_stays_cancelled(
    instance, postgres, connection, reap
):
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        ledger.mark_running(connection, BATCH, run.run_id, datetime.now(UTC))
        instance.report_run_canceling(instance.get_run_by_id(run.run_id))
        process.kill_family()
    wait_until(lambda: not run_lock_held(connection, run.run_id), 20)
    reap.tick()
    reap.tick(after=reaper.GRACE + 1)
    assert status(instance, run) == dg.DagsterRunStatus.CANCELED
    tell_ledger(batch_run_canceled, instance, postgres, run.run_id)
    assert ledger.batch(connection, BATCH).state == "failed_permanent"


def test_a_cancelled_run_leaves_its_batch_to_an_operator(instance, postgres, connection):
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        ledger.mark_running(connection, BATCH, run.run_id, datetime.now(UTC))
        instance.report_run_canceling(instance.get_run_by_id(run.run_id))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: status(instance, run) == dg.DagsterRunStatus.CANCELED)
    tell_ledger(batch_run_canceled, instance, postgres, run.run_id)
    batch = ledger.batch(connection, BATCH)
    assert (batch.state, batch.next_attempt_at) == ("failed_permanent", None)
    assert f"make replay BATCH={BATCH}" in batch.error
    assert ledger.reopen(connection, BATCH)


@pytest.mark.parametrize("ended", ["cancelled", "failed"])
def test_what_a_run_took_along_and_left_waiting_is_not_its_end_s(
    instance, postgres, connection, ended
):
    beside = "20261122T101503Z-0002"
    connection.execute(
        "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at, state,"
        " validated_at) VALUES (%s, 'campaigns_gcs', 'campaigns', 1, 1, now(), 'waiting', now())",
        (beside,),
    )
    connection.execute(
        "INSERT INTO landing.batch_sink (batch_id, sink) VALUES (%s, 'engagement_graph')", (beside,)
    )
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        ledger.mark_running(connection, BATCH, run.run_id, datetime.now(UTC))
        ledger.mark_running(connection, beside, run.run_id, datetime.now(UTC))
        companions.leave(connection, beside, run.run_id, datetime.now(UTC))
        left = ledger.batch(connection, beside)
        assert (left.state, left.run_id) == ("waiting", run.run_id)
        if ended == "cancelled":
            instance.report_run_canceling(instance.get_run_by_id(run.run_id))
            process.send_signal(signal.SIGINT)
            wait_until(lambda: status(instance, run) == dg.DagsterRunStatus.CANCELED)
        else:
            process.kill_family()
            instance.report_run_failed(instance.get_run_by_id(run.run_id))
    sensor = batch_run_canceled if ended == "cancelled" else batch_run_failed
    tell_ledger(sensor, instance, postgres, run.run_id)
    assert ledger.batch(connection, BATCH).state.startswith("failed_")
    assert ledger.batch(connection, beside) == left


def test_the_end_of_a_run_of_something_else_is_not_the_ledger_s(instance, postgres, connection):
    with run_process("waiting_job", tags={**TAGS, "dagster/partition": "2025-11"}) as process:
        run = started_run(instance, "it")
        instance.report_run_canceling(instance.get_run_by_id(run.run_id))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: status(instance, run) == dg.DagsterRunStatus.CANCELED)
    tell_ledger(batch_run_canceled, instance, postgres, run.run_id)
    assert ledger.batch(connection, BATCH).state == "requested"


def test_an_old_run_s_end_does_not_touch_the_run_that_works_now(instance, postgres, connection):
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        ledger.mark_running(connection, BATCH, "a newer run", datetime.now(UTC))
        instance.report_run_canceling(instance.get_run_by_id(run.run_id))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: status(instance, run) == dg.DagsterRunStatus.CANCELED)
    tell_ledger(batch_run_canceled, instance, postgres, run.run_id)
    batch = ledger.batch(connection, BATCH)
    assert (batch.state, batch.run_id) == ("running", "a newer run")
