"""From what the ledger says to messages that people get, through the sensors themselves."""

from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from assets.pipelines import PIPELINES as NAMES
from assets.pipelines import declaration, landed_files
from landing.arrival.standing import LATE, Late, Unloaded
from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors.alerts import alert_delivery
from sensors.trouble import objects_late, trouble_alerts

pytestmark = pytest.mark.servers("postgres", "openai")

LANDED = landed_files()
PIPELINES = [declaration(name) for name in NAMES]
[CAMPAIGNS] = [files for files in LANDED if files.job == "campaigns"]
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def resources(env):
    return {
        "postgres": PostgresResource(url=env["POSTGRES_URL"]),
        "telegram": TelegramResource(
            url=env["TELEGRAM_URL"], bot_token=env["TELEGRAM_BOT_TOKEN"], chat_id="5"
        ),
        "webhook": WebhookResource(url=env["ALERT_WEBHOOK_URL"], token=env["ALERT_WEBHOOK_TOKEN"]),
        "ui": UserInterfaceResource(url="http://ui.example/"),
    }


def look(resources):
    with dg.build_sensor_context(resources=resources) as context:
        return trouble_alerts(PIPELINES)(context).skip_message


def send(resources):
    given = {name: resources[name] for name in ("postgres", "telegram", "webhook")}
    with dg.build_sensor_context(resources=given) as context:
        return alert_delivery(context).skip_message


def fill(env, statement, *values):
    with psycopg.connect(env["POSTGRES_URL"]) as conn:
        conn.execute(statement, values)


def stop_batch(env, batch_id, run_id, error="wrong credentials"):
    fill(
        env,
        "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, attempt,"
        " created_at, run_id, error) VALUES (%s, 'campaigns_gcs', 'campaigns', 'failed_permanent',"
        " 1, 1, 1, now(), %s, %s)"
        " ON CONFLICT (batch_id) DO UPDATE SET run_id = excluded.run_id",
        batch_id, run_id, error,
    )  # fmt: skip


def test_a_batch_that_failed_for_good_is_told_once_per_run(env, resources, openai_admin):
    assert look(resources) == "0 troubles, 0 new"
    stop_batch(env, "20261127T101503Z-0001", "run1", f"<403> for {env['OPENAI_API_KEY']}")
    assert look(resources) == "1 troubles, 1 new"
    assert look(resources) == "1 troubles, 0 new"
    send(resources)
    [message] = openai_admin.messages()
    assert message["text"] == (
        "❌ <b>campaigns: batch 20261127T101503Z-0001 waits for you</b>\n"
        "&lt;403&gt; for ***\n\n"
        "Mend the cause, then <code>make replay BATCH=20261127T101503Z-0001</code>.\n"
        '<a href="http://ui.example/runs/run1">Show the run</a>'
    )
    [hooked] = openai_admin.hooked()
    assert hooked["title"] == "campaigns: batch 20261127T101503Z-0001 waits for you"
    assert hooked["key"] == "batch-failed/20261127T101503Z-0001/run1"
    stop_batch(env, "20261127T101503Z-0001", "run2")
    assert look(resources) == "1 troubles, 1 new", "another run failed"


def test_a_storm_is_one_message_on_every_channel(env, resources, openai_admin):
    for number in range(30):
        stop_batch(env, f"20261127T101503Z-{number:04d}", f"run{number}")
    assert look(resources) == "30 troubles, 30 new"
    assert send(resources) == (
        "telegram: 1 sent, 0 waiting, 0 given up; webhook: 1 sent, 0 waiting, 0 given up"
    )
    assert len(openai_admin.messages()) == len(openai_admin.hooked()) == 1
    assert openai_admin.hooked()[0]["title"] == "30 alerts at once: 30 error"


def test_late_objects_are_told_once_a_day_and_not_those_of_a_stopped_batch(
    env, resources, openai_admin
):
    stop_batch(env, "20261127T101503Z-0001", "run1")
    for key, batch_id in (("stopped", "20261127T101503Z-0001"), ("late", None)):
        fill(
            env,
            "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
            " modified_at, seen_at, batch_id) VALUES ('campaigns_gcs', 'gcs', 'b', %s, '1', 1,"
            " now(), now() - interval '1 day', %s)",
            key, batch_id,
        )  # fmt: skip
    assert look(resources) == "2 troubles, 2 new"
    send(resources)
    texts = [one["text"] for one in openai_admin.messages()]
    [late] = [text for text in texts if "minutes" in text]
    assert "⚠️ <b>campaigns: 1 objects wait for longer than 30 minutes</b>" in late
    assert "The oldest is b/late, for 1,440 minutes, in no batch yet." in late
    assert 'href="http://ui.example/assets/campaigns/gcs_landing"' in late


def test_a_sink_that_is_away_is_told_once_per_outage(env, resources, openai_admin):
    for since in ("2026-11-27 10:00+00", "2026-11-27 18:30+00"):
        fill(env, "DELETE FROM landing.sink_outage")
        fill(
            env,
            "INSERT INTO landing.sink_outage (source, sink, since, next_probe_at, error)"
            " VALUES ('campaigns_gcs', 'raw_messages', %s, now(), 'refused <by> 127.0.0.1')",
            since,
        )
        assert look(resources) == "1 troubles, 1 new"
        assert look(resources) == "1 troubles, 0 new"
    send(resources)
    first, second = [one["text"] for one in openai_admin.messages()]
    assert "❌ <b>campaigns: raw_messages is away since 2026-11-27 10:00 UTC</b>" in first
    assert "refused &lt;by&gt; 127.0.0.1" in first
    assert "since 2026-11-27 18:30 UTC" in second
    assert 'href="http://ui.example/assets/campaigns/raw_messages"' in second


def test_the_words_for_late_objects():
    assert objects_late(CAMPAIGNS, Late((), 0), NOW, "link") is None
    oldest = Unloaded("b/<x>", NOW - LATE * 3, "20261127T101503Z-0001", "failed_transient")
    alert = objects_late(CAMPAIGNS, Late((oldest,), 1_234), NOW, "link")
    assert alert.title == "campaigns: 1,234 objects wait for longer than 30 minutes"
    assert "b/&lt;x&gt;, for 90 minutes, in batch 20261127T101503Z-0001 (failed_transient)" in (
        alert.body_html
    )
    tomorrow = objects_late(CAMPAIGNS, Late((oldest,), 1), NOW + timedelta(days=1), "link")
    assert tomorrow.dedupe_key != alert.dedupe_key


def test_a_stream_that_waits_or_rejects_is_told_of_once(env, resources):
    def stream(session, subscription, accepted, rejected, waiting):
        fill(
            env,
            "INSERT INTO reading.session (session_id, state, started_at, updated_at)"
            " VALUES (%s, 'serving', now(), now()) ON CONFLICT DO NOTHING",
            session,
        )
        fill(
            env,
            "INSERT INTO reading.session_stream (session_id, subscription, received, redelivered,"
            " accepted, rejected, released, written, micro_batches, pending, waiting)"
            " VALUES (%s, %s, 0, 0, %s, %s, 0, 0, 0, 0, %s)",
            session, subscription, accepted, rejected, waiting,
        )  # fmt: skip

    long_ago = datetime.now(UTC) - timedelta(minutes=5)
    just_now = datetime.now(UTC) - timedelta(seconds=5)
    stream("s1", "events", 1_000, 100, f"append since {long_ago:%Y-%m-%dT%H:%M:%SZ}: no <column>")
    stream("s1", "meta", 10, 19, f"merge since {just_now:%Y-%m-%dT%H:%M:%SZ}: no")
    stream("s2", "events", 70, 30, None)
    fill(
        env,
        "INSERT INTO reading.rejected_message (subscription, message_id, publish_time,"
        " ordering_key, attributes, data, reason, detail, attempts, session_id, rejected_at)"
        " VALUES ('events', '1', now(), '', '{}', '', 'wrong_type', 'user_id is a JSON string', 1,"
        " 's2', now() - interval '10 minutes')",
    )
    assert look(resources) == "3 troubles, 3 new"
    assert look(resources) == "3 troubles, 0 new"
    with psycopg.connect(env["POSTGRES_URL"]) as conn:
        told = dict(conn.execute("SELECT title, body_html FROM alerts.outbox").fetchall())
    assert told.keys() == {
        f"reading: events waits to append since {long_ago:%Y-%m-%dT%H:%M:%SZ}",
        "reading: 30 of 100 messages of events rejected",
        "reading: 1 rejected messages of events are not passed on",
    }
    assert any("no &lt;column&gt;" in body for body in told.values())
    assert any("wrong_type: user_id is a JSON string" in body for body in told.values())
