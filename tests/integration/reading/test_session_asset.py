"""The session as a run: what is told of it while it serves, and how it ends.

The streaming itself is a stand-in here: it writes the rows that the real one writes.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import date
from types import SimpleNamespace

import dagster as dg
import psycopg
import pytest

from assets.reading.changes import note_changed_days
from assets.reading.pipeline import USER_INTERACTION_KEY
from assets.reading.session import assets as session
from assets.reading.session.assets import META_KEY, RAW_KEY, reading_session
from assets.reading.session.progress import progress
from assets.reading.settings import ReadingSettings
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource

pytestmark = pytest.mark.servers("postgres")

SETTINGS = ReadingSettings(
    dataset="reading", bucket="b", prefix="p/", quarantine_bucket="q",
    interaction_topic="it", interaction_subscription="is", interaction_dead_topic="id",
    meta_topic="mt", meta_subscription="ms", meta_dead_topic="md",
    stream="session", merge_milliseconds=0, session_seconds=30, max_attempts=5,
)  # fmt: skip
DAY = date(2022, 3, 5)


class StandIn:
    """Serves until it is told to stop, or for as many looks as it is given."""

    def __init__(self, url):
        self.url = url
        self.asked = {}
        self.drained = False
        self.at_start = lambda _session_id: None
        self.ends_by_itself = False

    def serve(self, *resources, session_id, stopping, seconds, log, **_limits):
        log.info("serving %s", session_id)
        self.asked = {"resources": resources, "session_id": session_id, "seconds": seconds}
        with psycopg.connect(self.url, autocommit=True) as conn:
            conn.execute(
                "INSERT INTO reading.session VALUES (%s, 'serving', now(), now())", (session_id,)
            )
            conn.execute(
                "INSERT INTO reading.session_stream (session_id, subscription, received, accepted,"
                " written, latency_p50) VALUES (%s, 'is', 10, 10, 9, 0.25)",
                (session_id,),
            )
            note_changed_days(conn, {DAY: 9})
            self.at_start(session_id)
            if not self.ends_by_itself:
                assert stopping.wait(30)
            conn.execute(
                "UPDATE reading.session_stream SET received = 12, accepted = 12, written = 11"
            )
            note_changed_days(conn, {DAY: 2})
        self.drained = True
        return SimpleNamespace()


@pytest.fixture
def stand_in(env, monkeypatch):
    one = StandIn(env["POSTGRES_URL"])
    monkeypatch.setitem(
        sys.modules, "assets.reading.stream.serving", SimpleNamespace(serve=one.serve)
    )
    monkeypatch.setattr(session, "LOOK_SECONDS", 0.05)
    return one


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def execute(env, instance):
    project = "quintet-test"
    return dg.materialize(
        [reading_session],
        instance=instance,
        raise_on_error=False,
        resources={
            "postgres": PostgresResource(url=env["POSTGRES_URL"]),
            "pubsub": PubSubResource(project=project, emulator_host="127.0.0.1:1"),
            "bigquery": BigQueryResource(project=project, api_endpoint="http://127.0.0.1:1"),
            "bigquery_write": BigQueryWriteResource(project=project, grpc_endpoint="127.0.0.1:1"),
            "reading": SETTINGS,
        },
    )


def materialized(instance, key):
    records = instance.fetch_materializations(key, limit=100, ascending=True).records
    return [record.asset_materialization for record in records]


def status(instance):
    (run,) = instance.get_runs()
    return run.status


def interrupt(number):
    return lambda _session_id: os.kill(os.getpid(), number)


def test_a_session_that_has_served_its_time_is_materialized_with_its_counts(
    env, instance, stand_in
):
    stand_in.ends_by_itself = True
    result = execute(env, instance)
    assert result.success
    assert stand_in.asked["session_id"] == result.run_id
    assert stand_in.asked["seconds"] == 30
    lines = [one.user_message for one in instance.all_logs(result.run_id)]
    assert lines.count(f"serving {result.run_id}") == 1
    (raw,) = materialized(instance, RAW_KEY)
    assert raw.metadata["accepted"].value == 12
    assert raw.metadata["duplicates"].value == 1
    assert raw.metadata["latency_p50_seconds"].value == 0.25
    assert raw.metadata["dagster/table_name"].value == "quintet-test.reading.user_interaction_raw"
    (meta,) = materialized(instance, META_KEY)
    assert meta.metadata["received"].value == 0, "no message came to the other subscription"


def test_days_are_told_as_of_the_run_and_all_of_them_by_its_end(env, instance, stand_in):
    stand_in.ends_by_itself = True
    run_id = execute(env, instance).run_id
    records = instance.fetch_materializations(USER_INTERACTION_KEY, limit=10).records
    assert {record.run_id for record in records} == {run_id}
    days = materialized(instance, USER_INTERACTION_KEY)
    assert {day.partition for day in days} == {"2022-03-05"}
    assert sum(day.metadata["new_events"].value for day in days) == 11


def test_a_session_is_observed_while_it_serves(env, instance, stand_in, monkeypatch):
    monkeypatch.setattr(session, "OBSERVE_SECONDS", 0.2)
    seen = []
    observe = session.SessionWatch.observe

    def observe_and_stop(self):
        observe(self)
        seen.append(1)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(session.SessionWatch, "observe", observe_and_stop)
    assert execute(env, instance).success
    observations = instance.fetch_observations(RAW_KEY, limit=10).records
    assert len(observations) == len(seen) >= 1
    metadata = observations[0].event_log_entry.dagster_event.asset_observation_data
    assert metadata.asset_observation.metadata["received"].value == 10


def test_a_cancelled_session_drains_says_what_it_did_and_is_cancelled(env, instance, stand_in):
    def cancel(session_id):
        instance.report_run_canceling(instance.get_run_by_id(session_id))
        os.kill(os.getpid(), signal.SIGINT)

    stand_in.at_start = cancel
    execute(env, instance)
    assert stand_in.drained
    assert status(instance) == dg.DagsterRunStatus.CANCELED
    (raw,) = materialized(instance, RAW_KEY)
    assert raw.metadata["accepted"].value == 12
    days = materialized(instance, USER_INTERACTION_KEY)
    assert sum(day.metadata["new_events"].value for day in days) == 11


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_session_whose_machine_is_shut_down_drains_and_ends_well(env, instance, stand_in, number):
    stand_in.at_start = interrupt(number)
    assert execute(env, instance).success
    assert stand_in.drained
    assert len(materialized(instance, RAW_KEY)) == 1


def test_a_session_that_cannot_go_on_fails_with_the_reason(env, instance, stand_in):
    def fail(_session_id):
        raise LookupError("no table user_interaction_raw")

    stand_in.at_start = fail
    result = execute(env, instance)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "no table user_interaction_raw" in str(failure.step_failure_data.error)


def test_trouble_with_a_look_does_not_end_the_stream(env, instance, stand_in, monkeypatch):
    looks = []
    read = progress

    def read_with_trouble(conn, session_id):
        looks.append(1)
        if len(looks) <= 2:
            raise psycopg.OperationalError("the server closed the connection")
        if len(looks) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return read(conn, session_id)

    monkeypatch.setattr(session, "progress", read_with_trouble)
    assert execute(env, instance).success
    (raw,) = materialized(instance, RAW_KEY)
    assert raw.metadata["accepted"].value == 12
