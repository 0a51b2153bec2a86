"""One session against the servers: what becomes of messages, good and bad, and what it says."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import (
    InvalidArgument,
    NotFound,
    ServiceUnavailable,
)
from google.pubsub_v1 import PublisherClient
from google.pubsub_v1.types import PubsubMessage

from assets.reading.stream import pulling, writing
from assets.reading.stream.append import Appended, RowAppender
from local.services.pubsub import kept_subscription
from tests.reading_stream import (
    Systems,
    balanced,
    counts,
    made_events,
    payload,
    session,
    wait_until,
)

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]


@pytest.fixture
def systems(env: dict[str, str]) -> Systems:
    return Systems.of(env)


def event(**changes: object) -> str:
    return json.dumps(
        {"user_id": 1, "content_id": 2, "read_percent": 3.5, "updated_at": "2022-03-01"} | changes
    )


def rejected(systems: Systems) -> list[tuple[Any, ...]]:
    return systems.rows(
        "SELECT message_id, reason, attempts FROM reading.rejected_message ORDER BY rejected_at"
    )


def all_in(systems: Systems, session_id: str, messages: int) -> bool:
    """Whether the session has accounted for so many deliveries."""
    rows = systems.rows(
        """
        SELECT coalesce(sum(accepted + rejected + redelivered), 0)
        FROM reading.session_stream WHERE session_id = %s
        """,
        session_id,
    )
    return bool(rows[0][0] >= messages)


def test_what_becomes_of_messages(systems: Systems) -> None:
    reading = systems.reading
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    good = {
        event(): (1, 2, 3.5, datetime(2022, 3, 1, tzinfo=UTC)),
        event(user_id=-(2**63), content_id=2**63 - 1, read_percent=2_400): (
            -(2**63), 2**63 - 1, 2_400.0, datetime(2022, 3, 1, tzinfo=UTC),
        ),
        event(updated_at="2000-01-01 00:00:00"): (1, 2, 3.5, datetime(2000, 1, 1, tzinfo=UTC)),
        event(updated_at="2022-03-01 23:59:59.999999"): (
            1, 2, 3.5, datetime(2022, 3, 1, 23, 59, 59, 999_999, tzinfo=UTC),
        ),
        event(read_percent=0.1 + 0.2): (1, 2, 0.1 + 0.2, datetime(2022, 3, 1, tzinfo=UTC)),
    }  # fmt: skip
    # The same events in other words.
    again = [event(updated_at="2022-03-01 00:00:00.000"), event(read_percent=3.50, more=1)]
    bad = {
        "no json": "not_json",
        "[1, 2]": "not_an_object",
        '{"user_id": 1}': "missing_field",
        event(user_id="1"): "wrong_type",
        event(user_id=2**63): "out_of_range",
        event(read_percent=-1): "out_of_range",
        event(updated_at="01.03.2022"): "bad_date",
        event(updated_at="1999-12-31"): "before_2000",
        event(updated_at=f"{tomorrow:%Y-%m-%d}"): "future_date",
        event(updated_at="x" * 70_000): "too_long",
    }
    ids = systems.publish(reading.interaction_topic, [*good, *again, *bad])
    meta = [
        '{"content_id": 2, "category_name": " Pok\\u00e9mon "}',
        '{"content_id": 2, "category_name": "Poke\\u0301mon"}',
        '{"content_id": 2, "category_name": "drama"}',
        '{"content_id": -9223372036854775808, "category_name": "drama"}',
    ]
    systems.publish(reading.meta_topic, [*meta, '{"content_id": 2, "category_name": " "}'])
    with systems.pubsub.publisher() as client:
        # What Postgres and BigQuery are to keep as it is, or as much of it as can be.
        odd = [
            PubsubMessage(data=b"\xff\x00", attributes={"topic": "a\0b", "data": "é"}),
            PubsubMessage(data=event(user_id=7).encode(), attributes={"from": "app", "ü": "ö"}),
        ]
        answer = PublisherClient.publish(
            client, topic=systems.pubsub.topic_path(reading.interaction_topic), messages=odd
        )
    with session(systems) as one:
        messages = len(ids) + 2 + len(meta) + 1
        wait_until(lambda: one.errors or all_in(systems, one.id, messages))
        report = one.end()
    expected = [*good.values(), (7, 2, 3.5, datetime(2022, 3, 1, tzinfo=UTC))]
    assert systems.events() == sorted(expected)
    assert systems.categories() == sorted([(2, "Pok\u00e9mon"), (2, "drama"), (-(2**63), "drama")])
    _check_rejected(systems, ids[-len(bad) :], list(bad.values()), answer.message_ids[0])
    attributes = systems.query(
        "SELECT attributes FROM {d}.user_interaction_raw WHERE user_id = 7 AND ordering_key IS NULL"
    )
    assert [json.loads(text) for (text,) in attributes] == [{"from": "app", "ü": "ö"}]
    _check_counts(systems, report, one.id, accepted=8, written=6, rejected=len(bad) + 1)
    assert sorted(systems.rows("SELECT day::text, events FROM reading.changed_day")) == [
        ("2000-01-01", 1),
        ("2022-03-01", 5),
    ]
    contents = systems.rows("SELECT content_id FROM reading.changed_content ORDER BY 1")
    assert contents == [(-(2**63),), (2,)]


def _check_rejected(systems: Systems, ids: list[str], reasons: list[str], odd: str) -> None:
    found = {message_id: reason for message_id, reason, _ in rejected(systems)}
    events = dict(zip(ids, reasons, strict=True)) | {odd: "not_json"}
    assert {one: reason for one, reason in found.items() if one in events} == events
    assert sorted(reason for one, reason in found.items() if one not in events) == ["empty"]
    kept = systems.rows(
        "SELECT data, attributes FROM reading.rejected_message WHERE message_id = %s", odd
    )
    assert kept == [(b"\xff\x00", {"topic": "a\ufffdb", "data": "é"})]
    letters = systems.pull(kept_subscription(systems.reading.interaction_dead_topic))
    assert {one.attributes["message_id"]: one.attributes["reason"] for one in letters} == events
    by_id = {one.attributes["message_id"]: one for one in letters}
    assert by_id[odd].data == b"\xff\x00"
    assert by_id[odd].attributes["data"] == "é"
    assert by_id[odd].attributes["attempts"] == "1"


def _check_counts(
    systems: Systems, report: Any, session_id: str, *, accepted: int, written: int, rejected: int
) -> None:
    assert balanced(report)
    found = counts([report], systems.reading.interaction_subscription)
    assert (found["accepted"], found["written"], found["rejected"]) == (accepted, written, rejected)
    meta = counts([report], systems.reading.meta_subscription)
    assert (meta["accepted"], meta["written"], meta["rejected"]) == (4, 3, 1)
    assert systems.rows(
        "SELECT session_id, state, error, ended_at >= started_at FROM reading.session"
    ) == [(session_id, "ended", None, True)]
    rows = systems.rows(
        """
        SELECT accepted, rejected, written, pending, latency_p50 > 0, latency_p95 >= latency_p50
        FROM reading.session_stream WHERE subscription = %s
        """,
        systems.reading.interaction_subscription,
    )
    assert rows == [(accepted, rejected, written, 0, True, True)]


def test_messages_that_fail_alone(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that BigQuery refuses goes at once, one that it fails on after so many attempts."""
    original, tries = writing.append, []

    def picky(writer: Any, rows: Any, **options: Any) -> Appended:
        users = [writer._row.FromString(row).user_id for row in rows]
        original(writer, [row for row, user in zip(rows, users, strict=True) if user < 660])
        tries.extend(user for user in users if user == 667)
        return Appended(
            refused={n: "too odd" for n, user in enumerate(users) if user == 666},
            troubled={n: "too hard" for n, user in enumerate(users) if user == 667},
        )

    monkeypatch.setattr(writing, "append", picky)
    users = [*range(20), 666, 667]
    ids = systems.publish(systems.reading.interaction_topic, [event(user_id=n) for n in users])
    with session(systems) as one:
        wait_until(lambda: one.errors or all_in(systems, one.id, len(users)))
        report = one.end()
    assert sorted(user for user, *_ in systems.events()) == list(range(20))
    assert rejected(systems) == [
        (ids[20], "refused_by_bigquery", 1),
        (ids[21], "failed_n_attempts", 3),
    ]
    assert len(tries) == 3
    assert balanced(report)
    found = counts([report], systems.reading.interaction_subscription)
    assert (found["accepted"], found["rejected"], found["released"]) == (20, 2, 2)


def test_a_table_without_a_column_is_waited_for_and_costs_no_message(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a newer session writes to a table that nobody has migrated yet."""
    exchange, refused = RowAppender._exchange, threading.Event()
    refused.set()
    tried: list[int] = []

    def behind(self: Any, rows: list[bytes]) -> None:
        if refused.is_set():
            tried.append(len(rows))
            raise InvalidArgument("Schema mismatch: extra field session_id")
        exchange(self, rows)

    monkeypatch.setattr(RowAppender, "_exchange", behind)
    events = made_events(120)
    systems.publish(systems.reading.interaction_topic, map(payload, events[:60]))
    with session(systems) as one:
        wait_until(lambda: one.errors or len(tried) > 20)
        systems.publish(systems.reading.interaction_topic, map(payload, events[60:]))
        stream = "SELECT waiting FROM reading.session_stream WHERE waiting IS NOT NULL"
        wait_until(lambda: one.errors or systems.rows(stream))
        [(waiting,)] = systems.rows(stream)
        assert re.fullmatch(r"append since \S+Z: Schema mismatch: extra field session_id", waiting)
        assert systems.events() == []
        refused.clear()
        wait_until(lambda: one.errors or all_in(systems, one.id, 120))
        report = one.end()
    assert systems.events() == sorted(events)
    assert rejected(systems) == []
    assert systems.rows(stream) == []
    found = counts([report], systems.reading.interaction_subscription)
    assert (found["accepted"], found["rejected"], found["released"]) == (120, 0, 0)


def test_the_first_message_of_all_is_bad_and_waits_for_one_that_tells(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = RowAppender._exchange
    tried: list[int] = []

    def picky(self: Any, rows: list[bytes]) -> None:
        if any(b"unwanted" in row for row in rows):
            tried.append(len(rows))
            raise InvalidArgument("too odd")
        exchange(self, rows)

    monkeypatch.setattr(RowAppender, "_exchange", picky)
    with systems.pubsub.publisher() as client:
        PublisherClient.publish(
            client,
            topic=systems.pubsub.topic_path(systems.reading.interaction_topic),
            messages=[PubsubMessage(data=event().encode(), attributes={"unwanted": "yes"})],
        )
    with session(systems) as one:
        wait_until(lambda: one.errors or len(tried) > 3)
        assert rejected(systems) == []
        systems.publish(systems.reading.interaction_topic, [event(user_id=n) for n in range(5)])
        wait_until(lambda: one.errors or all_in(systems, one.id, 6))
        one.end()
    assert [reason for _, reason, _ in rejected(systems)] == ["refused_by_bigquery"]
    assert sorted(user for user, *_ in systems.events()) == list(range(5))


def test_a_dead_letter_topic_that_is_missing_holds_nothing_up(systems: Systems) -> None:
    """Postgres has the message; it is passed on once the topic is there, with a later one."""
    reading = systems.reading
    topic = systems.pubsub.topic_path(reading.interaction_dead_topic)
    with systems.pubsub.publisher() as client:
        PublisherClient.delete_topic(client, topic=topic)
    events = made_events(30)
    systems.publish(reading.interaction_topic, ["no json", *map(payload, events)])
    letters = "SELECT reason, dead_letter_id IS NULL FROM reading.rejected_message ORDER BY 1"
    with session(systems) as one:
        wait_until(lambda: one.errors or all_in(systems, one.id, 31))
        assert systems.rows(letters) == [("not_json", True)]
        with systems.pubsub.publisher() as client:
            PublisherClient.create_topic(client, name=topic)
        systems.rows(
            "UPDATE reading.rejected_message SET rejected_at = now() - interval '1 hour'"
            " RETURNING 1"
        )
        systems.publish(reading.interaction_topic, ["[]"])
        wait_until(lambda: one.errors or all_in(systems, one.id, 32))
        one.end()
    assert systems.events() == sorted(events)
    assert systems.rows(letters) == [("not_an_object", False), ("not_json", False)]


def test_a_raw_table_that_is_dropped_is_made_anew(systems: Systems) -> None:
    events = made_events(60)
    systems.publish(systems.reading.interaction_topic, map(payload, events[:30]))
    with session(systems) as one:
        wait_until(lambda: one.errors or all_in(systems, one.id, 30))
        with systems.bigquery.client() as client:
            client.delete_table(f"{client.project}.{systems.reading.dataset}.user_interaction_raw")
        systems.publish(systems.reading.interaction_topic, map(payload, events[30:]))
        wait_until(lambda: one.errors or all_in(systems, one.id, 60), seconds=90)
        one.end()
    assert systems.events() == sorted(events)


def test_ordering_keys_share_micro_batches(systems: Systems) -> None:
    """500 messages on 5 keys: not one message of a key per MERGE, which were 100."""
    events = made_events(500)
    messages = [
        PubsubMessage(data=payload(one).encode(), ordering_key=f"key {number % 5}")
        for number, one in enumerate(events)
    ]
    with systems.pubsub.publisher() as client:
        topic = systems.pubsub.topic_path(systems.reading.interaction_topic)
        for at in range(0, len(messages), 100):
            PublisherClient.publish(client, topic=topic, messages=messages[at : at + 100])
    with session(systems) as one:
        wait_until(lambda: one.errors or all_in(systems, one.id, 500))
        report = one.end()
    assert systems.events() == sorted(events)
    assert balanced(report)
    assert sum(stream.micro_batches for stream in report.streams) <= 10
    keys = systems.query("SELECT ordering_key, count(*) FROM {d}.user_interaction_raw GROUP BY 1")
    assert sorted(keys) == [(f"key {number}", 100) for number in range(5)]


def test_the_answer_to_a_merge_gets_lost(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    """It took effect, is sent again, and everything is counted and noted once."""
    original, lost = writing.merge, []

    def losing(*arguments: Any) -> int:
        inserted = original(*arguments)
        if len(lost) < 2:
            lost.append(inserted)
            raise ServiceUnavailable("no answer")
        return inserted

    monkeypatch.setattr(writing, "merge", losing)
    events = made_events(50)
    systems.publish(systems.reading.interaction_topic, map(payload, events))
    with session(systems) as one:
        wait_until(lambda: one.errors or all_in(systems, one.id, 50))
        report = one.end()
    assert lost[0] > 0
    assert systems.events() == sorted(events)
    found = counts([report], systems.reading.interaction_subscription)
    assert (found["accepted"], found["written"]) == (50, 50)
    noted = systems.rows("SELECT sum(events)::int FROM reading.changed_day")
    assert noted == [(50,)]


def test_what_cannot_be_waited_for_ends_the_session(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "GRACE_SECONDS", 0.5)
    with systems.pubsub.subscriber() as client:
        client.delete_subscription(
            subscription=systems.pubsub.subscription_path(systems.reading.meta_subscription)
        )
    with session(systems) as one:
        wait_until(lambda: one.errors)
        with pytest.raises(NotFound):
            one.end()
    [(state, error)] = systems.rows("SELECT state, error FROM reading.session")
    assert state == "failed"
    assert error.startswith("NotFound: ")
