"""`make quarantine` over rejected messages: listed, shown, published to their topic again."""

from __future__ import annotations

import json

import psycopg
import pytest

from ops import quarantine
from resources.pubsub import PubSubResource

pytestmark = pytest.mark.servers("postgres", "pubsub")

REJECTED = [
    ("7", b"no json \xff", {"sender": "app"}, "not_json"),
    ("8", b'{"user_id": 1}', {}, "missing_field"),
    ("9", b"[]", {"topic": "1", "timeout": "2"}, "not_an_object"),
]


def store(env: dict[str, str]) -> str:
    subscription = env["READING_INTERACTION_SUBSCRIPTION"]
    with psycopg.connect(env["POSTGRES_URL"]) as conn:
        for message_id, data, attributes, reason in REJECTED:
            conn.execute(
                """
                INSERT INTO reading.rejected_message (subscription, message_id, publish_time,
                    ordering_key, attributes, data, reason, detail, attempts, session_id)
                VALUES (%s, %s, now(), '', %s, %s, %s, 'why', 1, 'a session')
                """,
                (subscription, message_id, json.dumps(attributes), data, reason),
            )
    return subscription


def test_listed_and_shown(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    subscription = store(env)
    assert quarantine.run(None, replay=False, limit=20) == 0
    listed = capsys.readouterr().out
    assert subscription in listed
    assert "1 missing_field, 1 not_an_object, 1 not_json" in listed
    assert quarantine.run(subscription, replay=False, limit=2) == 0
    shown = capsys.readouterr().out
    assert shown.count("(why)") == 2
    assert shown.count(" → send it again, correctly") == 2


def test_published_again_once(env: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    subscription = store(env)
    assert quarantine.run(subscription, replay=True, limit=20) == 0
    assert "3 messages published" in capsys.readouterr().out
    pubsub = PubSubResource(
        project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env["PUBSUB_EMULATOR_HOST"]
    )
    with pubsub.subscriber() as client:
        pulled = client.pull(
            subscription=pubsub.subscription_path(subscription), max_messages=10, timeout=10
        ).received_messages
    came = sorted((bytes(m.message.data), dict(m.message.attributes)) for m in pulled)
    assert came == sorted((data, attributes) for _, data, attributes, _ in REJECTED)
    # What was published before is not published again.
    assert quarantine.run(subscription, replay=True, limit=20) == 1
    assert "replayed before" in capsys.readouterr().err
