"""The stream when its parts fail: every event once, no message lost, every delivery accounted for.

What must be in the tables is recounted from what was published, without the code under test.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from assets.reading.stream import pulling
from local.services.pubsub import kept_subscription
from local.stack import Stack
from tests.faults.reading_kills import POINTS, serve_until_killed
from tests.pubsub_servers import either_pubsub, end_server
from tests.reading_stream import (
    LIMITS,
    Event,
    Systems,
    balanced,
    counts,
    made_events,
    payload,
    session,
    wait_until,
)
from tests.servers import start
from tests.tcp_proxy import TcpProxy

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.xdist_group("reading-stream"),
]

__all__ = ["either_pubsub"]

#: Longer than a lease of these tests.
AWAY_SECONDS = 30.0

FEW_POINTS = ("pulled", "appended", "acknowledged_not_reported")

POISON = ["{", "[]", '{"user_id": 1}', '{"user_id": "1", "content_id": 2}', " "]


@pytest.fixture
def systems(either_pubsub: dict[str, str]) -> Systems:
    found = Systems.of(either_pubsub)
    # Google's emulator goes by the subscription's deadline when it brings again what it sent into a
    # connection that had just broken.
    with found.pubsub.subscriber() as client:
        for name in (found.reading.interaction_subscription, found.reading.meta_subscription):
            path = found.pubsub.subscription_path(name)
            client.update_subscription(
                subscription={"name": path, "ack_deadline_seconds": LIMITS.lease_seconds},
                update_mask={"paths": ["ack_deadline_seconds"]},
            )
    return found


def noted_days(systems: Systems) -> Counter[str]:
    rows = systems.rows("SELECT day::text, events FROM reading.changed_day")
    return Counter(dict(rows))


def days_of(events: list[Event]) -> Counter[str]:
    return Counter(f"{at:%Y-%m-%d}" for *_, at in events)


def written(systems: Systems) -> int:
    rows = systems.query("SELECT COUNT(*) FROM {d}.user_interaction")
    # The emulator answers with nothing while there is no such table.
    return int(rows[0][0]) if rows else 0


@dataclass
class Published:
    """What was published, and whether all of it has been dealt with."""

    systems: Systems
    events: list[Event] = field(default_factory=list)
    pairs: set[tuple[int, str]] = field(default_factory=set)
    good: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)

    def publish(self, events: list[Event], pairs: set[tuple[int, str]]) -> None:
        """Publish events, some of them twice, messages that are none, and categories."""
        reading = self.systems.reading
        sent = [payload(event) for event in (*events, *events[: len(events) // 5])]
        self.good += self.systems.publish(reading.interaction_topic, sent)
        self.bad += self.systems.publish(reading.interaction_topic, POISON)
        self.systems.publish(
            reading.meta_topic,
            [json.dumps({"content_id": n, "category_name": name}) for n, name in sorted(pairs)] * 2,
        )
        self.events += events
        self.pairs |= pairs

    def raw_ids(self) -> set[str]:
        rows = self.systems.query("SELECT DISTINCT message_id FROM {d}.user_interaction_raw")
        return {one for (one,) in rows}

    def rejected(self) -> dict[str, bool]:
        return dict(
            self.systems.rows(
                "SELECT message_id, dead_letter_id IS NOT NULL FROM reading.rejected_message"
            )
        )

    def contents(self) -> set[int]:
        return {
            one for (one,) in self.systems.rows("SELECT content_id FROM reading.changed_content")
        }

    def dealt_with(self) -> bool:
        """Whether every message is where it belongs, and every change noted."""
        return (
            self.rejected() == dict.fromkeys(self.bad, True)
            and self.contents() >= {n for n, _ in self.pairs}
            and noted_days(self.systems).keys() >= days_of(self.events).keys()
            and self.raw_ids() >= set(self.good)
            and written(self.systems) >= len(self.events)
        )

    def check(self) -> None:
        """Every event once, every message accounted for, every change noted."""
        systems = self.systems
        assert systems.events() == sorted(self.events)
        assert systems.categories() == sorted(self.pairs)
        assert self.raw_ids() == set(self.good)
        assert self.rejected() == dict.fromkeys(self.bad, True)
        letters = systems.pull(kept_subscription(systems.reading.interaction_dead_topic))
        assert {one.attributes["message_id"] for one in letters} == set(self.bad)
        assert self.contents() == {n for n, _ in self.pairs}
        noted, expected = noted_days(systems), days_of(self.events)
        assert noted.keys() == expected.keys()
        # Noted by whoever merged or by whoever got the messages again: perhaps by both.
        assert all(noted[day] >= events for day, events in expected.items())


def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(
    either_pubsub: dict[str, str], systems: Systems, env: dict[str, str]
) -> None:
    """A session dies at each point in turn, with messages of its own; the last one finishes."""
    published = Published(systems)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ours = either_pubsub["PUBSUB_EMULATOR_HOST"] == env["PUBSUB_EMULATOR_HOST"]
    # What Google's emulator sends to the dead takes long to come again, after each death.
    for number, point in enumerate(POINTS if ours else FEW_POINTS):
        # Days and contents of its own: whoever forgets to note them is found out.
        published.publish(
            made_events(40, mark=number, day=today - timedelta(days=10 * number)),
            {(number, f"category {n}") for n in range(5)},
        )
        assert serve_until_killed(either_pubsub, point) == -signal.SIGKILL, point
    with session(systems) as last:
        # What the killed sessions had in hand comes again when their leases have ended.
        wait_until(lambda: last.errors or published.dealt_with(), seconds=150, every=0.5)
        assert balanced(last.end())
    published.check()


def test_every_message_delivered_five_times(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledgements get lost: Pub/Sub delivers again what was written long ago."""
    published, deliveries = Published(systems), Counter[str]()
    acknowledge = pulling.Pulling.acknowledge

    def lost(self: pulling.Pulling, done: Any) -> None:
        deliveries.update(one.message_id for one in done)
        for one in done:
            if deliveries[one.message_id] < 5:
                one.nack()
        acknowledge(self, [one for one in done if deliveries[one.message_id] >= 5])

    monkeypatch.setattr(pulling.Pulling, "acknowledge", lost)
    published.publish(made_events(600), {(n, "a category") for n in range(100)})
    messages = 720 + len(POISON) + 200
    with session(systems) as one:
        wait_until(
            lambda: one.errors or (len(deliveries) == messages and min(deliveries.values()) >= 5)
        )
        report = one.end()
    published.check()
    assert balanced(report)
    reading = systems.reading
    events = counts([report], reading.interaction_subscription)
    assert (events["accepted"], events["rejected"], events["written"]) == (720, len(POISON), 600)
    assert events["redelivered"] >= 4 * (720 + len(POISON))
    # The raw table has what was accepted, not what was delivered.
    assert systems.query("SELECT COUNT(*) FROM {d}.user_interaction_raw") == [(720,)]
    assert noted_days(systems) == days_of(published.events)


def test_two_sessions_at_once_double_nothing(systems: Systems) -> None:
    """Both have messages of the same events in hand, and merge them at the same time."""
    published = Published(systems)
    with session(systems) as one, session(systems) as other:
        for number in range(4):
            events = made_events(300, mark=number)
            published.publish(events, {(n, f"category {number}") for n in range(50)})
            sent = systems.publish(systems.reading.interaction_topic, map(payload, events))
            published.good += sent
        wait_until(lambda: one.errors or other.errors or published.dealt_with(), every=0.5)
        reports = [one.end(), other.end()]
    published.check()
    assert all(balanced(report) for report in reports)
    found = counts(reports, systems.reading.interaction_subscription)
    assert found["written"] == len(published.events)
    assert found["accepted"] == len(published.good)
    assert noted_days(systems) == days_of(published.events)


def test_bigquery_away_for_half_a_minute(env: dict[str, str]) -> None:
    """Longer than a lease: the session keeps what it has, takes no more, and goes on after it."""
    endpoint = urlsplit(env["BIGQUERY_API_ENDPOINT"])
    grpc_host, grpc_port = env["BIGQUERY_GRPC_ENDPOINT"].split(":")
    with (
        TcpProxy((str(endpoint.hostname), int(endpoint.port or 80))) as rest,
        TcpProxy((grpc_host, int(grpc_port))) as grpc,
    ):
        direct = Systems.of(env)
        through = Systems.of(
            {
                **env,
                "BIGQUERY_API_ENDPOINT": f"http://{rest.address}",
                "BIGQUERY_GRPC_ENDPOINT": grpc.address,
            }
        )
        limits = replace(LIMITS, max_outstanding_messages=300, batch_rows=100)
        with session(through, limits=limits) as one:
            published = Published(direct)
            published.publish(made_events(200), set())
            wait_until(lambda: one.errors or written(direct) == 200)
            for proxy in (rest, grpc):
                proxy.cut()
            away_since = time.monotonic()
            published.publish(made_events(2_000, mark=1), set())
            while time.monotonic() - away_since < AWAY_SECONDS:
                assert not one.errors
                time.sleep(1)
            received = direct.rows(
                "SELECT received, pending FROM reading.session_stream WHERE subscription = %s",
                direct.reading.interaction_subscription,
            )[0]
            for proxy in (rest, grpc):
                proxy.restore()
            wait_until(lambda: one.errors or published.dealt_with(), seconds=60, every=0.5)
            report = one.end()
    published.check()
    assert balanced(report)
    found = counts([report], direct.reading.interaction_subscription)
    # The flow control held, and no lease ended: nothing came a second time.
    assert received[1] <= 300
    assert received[0] <= 240 + len(POISON) + 300
    assert (found["redelivered"], found["released"]) == (0, 0)
    assert (found["accepted"], found["written"]) == (len(published.good), 2_200)


@pytest.mark.servers("postgres", "bigquery")
def test_pubsub_killed_and_started_again(env: dict[str, str], tmp_path: Path) -> None:
    """What it forgot was acknowledged comes again; the session opens the stream by itself."""
    stack = Stack(tmp_path / "stack")
    try:
        start(stack, ["pubsub"])
        systems = Systems.of({**env, **stack.services["pubsub"].variables(stack.place())})
        published = Published(systems)
        with session(systems) as one:
            published.publish(made_events(1_000), {(n, "a category") for n in range(50)})
            wait_until(lambda: one.errors or written(systems) > 0)
            end_server(stack)
            start(stack, ["pubsub"])
            published.publish(made_events(1_000, mark=1), {(n, "another") for n in range(50)})
            wait_until(lambda: one.errors or published.dealt_with(), seconds=60, every=0.5)
            assert balanced(one.end())
        published.check()
    finally:
        stack.reset()


def test_told_to_end_in_the_middle_the_next_session_has_the_rest(
    env: dict[str, str],
) -> None:
    """Google's emulator has the rest too, but takes a minute to bring it: only ours is asked."""
    systems = Systems.of(env)
    published = Published(systems)
    published.publish(made_events(5_000), {(n, "a category") for n in range(500)})
    with session(systems) as one:
        wait_until(lambda: one.errors or written(systems) > 0, every=0.02)
        first = one.end()
    subscription = systems.reading.interaction_subscription
    left = len(published.good) - counts([first], subscription)["accepted"]
    with session(systems) as two:
        wait_until(lambda: two.errors or published.dealt_with(), every=0.5)
        second = two.end()
    published.check()
    assert balanced(first)
    assert balanced(second)
    assert counts([second], subscription)["accepted"] == left
    states = systems.rows("SELECT session_id, state FROM reading.session ORDER BY started_at")
    assert states == [(one.id, "ended"), (two.id, "ended")]
