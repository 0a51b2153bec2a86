"""Ticks of the session's sensor on a real instance: requests, dead runs, nothing to serve."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest
from google.api_core.exceptions import PermissionDenied

from assets.reading.session.job import SESSION_TAG
from assets.reading.settings import ReadingSettings
from landing.batch.locks import run_lock_held
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors import session
from sensors.session import reading_session_sensor
from tests.integration.jobs.run_process import run_process, started_run, wait_until

pytestmark = pytest.mark.servers("postgres", "pubsub")

TAGS = {"test": "it", SESSION_TAG: "reading"}


class Clock:
    """Only the sensor is given it: Dagster's own records of time must stay true."""

    def __init__(self):
        self.now = 2_000_000_000.0

    def time(self):
        return self.now


class Ticks:
    """The sensor, tick by tick, at times that the test chooses (seconds)."""

    def __init__(self, env, instance, clock):
        self.env, self.instance, self.clock, self.cursor = env, instance, clock, None
        self.stream = "session"

    def settings(self):
        names = ("TOPIC", "SUBSCRIPTION", "DEAD_TOPIC")
        return ReadingSettings(
            dataset="d", bucket="b", prefix="p/", quarantine_bucket="q", stream=self.stream,
            merge_milliseconds=0, session_seconds=10**10, max_attempts=5,
            **{f"interaction_{n.lower()}": self.env[f"READING_INTERACTION_{n}"] for n in names},
            **{f"meta_{n.lower()}": self.env[f"READING_META_{n}"] for n in names},
        )  # fmt: skip

    def tick(self, after=5.0):
        """Whether a session is requested, and what the tick says."""
        self.clock.now += after
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={
                "postgres": PostgresResource(url=self.env["POSTGRES_URL"]),
                "pubsub": PubSubResource(
                    project=self.env["GOOGLE_CLOUD_PROJECT"],
                    emulator_host=self.env["PUBSUB_EMULATOR_HOST"],
                ),
                "reading": self.settings(),
                "telegram": TelegramResource(),
                "webhook": WebhookResource(),
                "ui": UserInterfaceResource(url="http://ui.example"),
            },
        ) as context:
            told = reading_session_sensor(context)
        if isinstance(told, dg.SkipReason):
            return False, told.skip_message
        self.cursor = told.cursor
        return bool(told.run_requests), told.skip_reason.skip_message if told.skip_reason else ""


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.fixture
def ticks(env, instance, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(session, "time", clock)
    return Ticks(env, instance, clock)


@pytest.fixture
def conn(env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        yield opened


def add_row(conn, session_id, silent):
    conn.execute(
        "INSERT INTO reading.session (session_id, state, started_at, updated_at)"
        " VALUES (%s, 'serving', now(), now() - make_interval(secs => %s))",
        (session_id, silent),
    )


def state(conn, session_id):
    return conn.execute(
        "SELECT state, error FROM reading.session WHERE session_id = %s", (session_id,)
    ).fetchone()


def test_a_living_session_is_left_alone_and_a_killed_one_is_failed_and_replaced(
    ticks, instance, conn
):
    assert ticks.tick() == (True, "")
    with run_process("waiting_job", tags=TAGS) as process:
        run = started_run(instance, "it")
        add_row(conn, run.run_id, silent=100.0)
        requested, message = ticks.tick()
        assert (requested, message) == (False, f"run {run.run_id} serves")
        process.kill_family()
    wait_until(lambda: not run_lock_held(conn, run.run_id), 20)

    assert ticks.tick()[0] is False, "one look is not enough"
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
    assert ticks.tick() == (True, "")
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert state(conn, run.run_id) == ("failed", "its process ended without reporting")
    assert ticks.tick() == (True, ""), "nobody has asked the queue yet"


def test_a_session_that_dagster_has_given_up_but_lives_is_not_doubled(ticks, instance, conn):
    with run_process("waiting_job", tags=TAGS):
        run = started_run(instance, "it")
        add_row(conn, run.run_id, silent=1.0)
        instance.report_run_failed(run)
        requested, message = ticks.tick()
        assert not requested
        assert run.run_id in message


def test_the_row_of_a_session_that_is_long_gone_is_closed(ticks, conn):
    add_row(conn, "gone", silent=5.0)
    add_row(conn, "silent", silent=1.0)
    ticks.tick()
    assert state(conn, "gone") == ("failed", "its process ended without reporting")
    assert state(conn, "silent") == ("serving", None)


def test_a_run_that_waits_in_the_queue_is_enough(ticks, instance):
    run = instance.create_run_for_job(
        dg.GraphDefinition(name="reading_stream").to_job(), tags={SESSION_TAG: "reading"}
    )
    assert ticks.tick() == (False, f"run {run.run_id} waits for its start")


def alerts(conn):
    return conn.execute("SELECT title, body_html, link FROM alerts.outbox ORDER BY id").fetchall()


def test_nothing_is_requested_where_there_is_nothing_to_serve(ticks, conn):
    ticks.env["READING_META_SUBSCRIPTION"] = "nobody-made-it"
    for _ in range(3):
        requested, message = ticks.tick()
        assert not requested
        assert "subscriptions/nobody-made-it. Create it" in message
    [(title, body, link)] = alerts(conn)
    assert title == "reading: no streaming session can start"
    assert body == message
    assert link == "http://ui.example/locations/quintet/jobs/reading_stream/runs"
    ticks.stream = "dataflow"
    assert ticks.tick() == (False, "READING_STREAM is dataflow: ingestion is managed.")


def test_nothing_is_requested_while_pubsub_is_out_of_reach(ticks, monkeypatch):
    monkeypatch.setattr(session, "_ASK_SECONDS", 1.0)
    ticks.env["PUBSUB_EMULATOR_HOST"] = "127.0.0.1:1"
    requested, message = ticks.tick()
    assert not requested
    assert "Pub/Sub does not answer" in message


def test_sessions_that_fail_at_once_are_told_the_third_time(ticks, instance, conn):
    for failures in (1, 2, 3, 4):
        run = instance.create_run_for_job(
            dg.GraphDefinition(name="reading_stream").to_job(), tags={SESSION_TAG: "reading"}
        )
        instance.report_run_failed(run)
        ticks.tick()
        assert len(alerts(conn)) == (failures >= 3)
    assert "sessions in a row failed at once" in alerts(conn)[0][1]


def test_who_may_only_consume_is_served(ticks, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise PermissionDenied("pubsub.subscriptions.get denied")

    monkeypatch.setattr("google.cloud.pubsub_v1.SubscriberClient.get_subscription", refuse)
    assert ticks.tick() == (True, "")
