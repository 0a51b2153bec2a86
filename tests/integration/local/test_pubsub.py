"""The Pub/Sub server through Google's client, beside Google's own emulator; kills and restarts."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import (
    GoogleAPICallError,
    InvalidArgument,
    MethodNotImplemented,
    NotFound,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.cloud.pubsub_v1.types import BatchSettings, FlowControl

from local.services.pubsub import kept_subscription
from local.stack import Stack
from resources.pubsub import PubSubResource
from tests.pubsub_servers import PubSubAdmin, either_pubsub, end_server  # noqa: F401

pytestmark = [
    pytest.mark.servers("pubsub"),
    pytest.mark.filterwarnings("ignore:The return_immediately flag:DeprecationWarning"),
]

Env = dict[str, str]
#: The client's own waits up to a minute between two attempts.
AT_ONCE = Retry(if_exception_type(ServiceUnavailable), maximum=0.5, timeout=60)


class Flow:
    """The topic of user interactions and its subscription, through the official clients."""

    def __init__(self, env: Env) -> None:
        self.resource = PubSubResource(
            project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env["PUBSUB_EMULATOR_HOST"]
        )
        self.publisher = self.resource.publisher(ordering=True)
        self.subscriber = self.resource.subscriber()
        self.topic = self.resource.topic_path(env["READING_INTERACTION_TOPIC"])
        self.subscription = self.resource.subscription_path(env["READING_INTERACTION_SUBSCRIPTION"])
        self.kept = self.resource.subscription_path(
            kept_subscription(env["READING_INTERACTION_DEAD_TOPIC"])
        )

    def publish(self, *texts: str, key: str = "", **attributes: str) -> list[str]:
        futures = [
            self.publisher.publish(self.topic, text.encode(), ordering_key=key, **attributes)
            for text in texts
        ]
        return [future.result(20) for future in futures]

    def pull(self, count: int = 100, subscription: str = "", seconds: float = 10) -> list[Any]:
        """Up to ``count`` messages; waits ``seconds`` for the first."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            response = self.subscriber.pull(
                subscription=subscription or self.subscription,
                max_messages=count,
                return_immediately=True,  # deprecated, and what a test wants
                timeout=10,
            )
            if response.received_messages:
                return list(response.received_messages)
            time.sleep(0.02)
        return []

    def acknowledge(self, received: list[Any]) -> None:
        self.subscriber.acknowledge(
            subscription=self.subscription, ack_ids=[item.ack_id for item in received]
        )

    def deadline(self, received: list[Any], seconds: int) -> None:
        self.subscriber.modify_ack_deadline(
            subscription=self.subscription,
            ack_ids=[item.ack_id for item in received],
            ack_deadline_seconds=seconds,
        )

    def close(self) -> None:
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


@pytest.fixture
def flow(either_pubsub: Env) -> Iterator[Flow]:  # noqa: F811
    flow = Flow(either_pubsub)
    yield flow
    flow.close()


@pytest.fixture
def ours(env: Env) -> Iterator[Flow]:
    flow = Flow(env)
    yield flow
    flow.close()


@pytest.fixture
def admin(stack: Stack) -> PubSubAdmin:
    return PubSubAdmin.of(stack)


def texts(received: list[Any]) -> list[str]:
    return [item.message.data.decode() for item in received]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


# -- what both do -----------------------------------------------------------------------------


def test_published_messages_arrive_once_acknowledged_they_are_gone(flow: Flow) -> None:
    before = time.time()
    ids = flow.publish("a", "b", "ä" * 100_000, source="test")
    received: list[Any] = []
    while len(received) < 3:
        received += flow.pull()
    assert {item.message.message_id for item in received} == set(ids)
    assert sorted(texts(received)) == ["a", "b", "ä" * 100_000]
    assert dict(received[0].message.attributes) == {"source": "test"}
    assert before - 1 < received[0].message.publish_time.timestamp() < time.time() + 1
    flow.acknowledge(received)
    flow.publish("c")
    assert texts(flow.pull()) == ["c"]


def test_nacked_and_expired_messages_come_again(flow: Flow) -> None:
    flow.publish("a", "b")
    received = [*flow.pull(1), *flow.pull(1)]
    assert sorted(texts(received)) == ["a", "b"]
    first, second = received
    flow.deadline([first], 0)
    [again] = flow.pull()
    assert texts([again]) == texts([first])
    assert (first.delivery_attempt, again.delivery_attempt) == (1, 2)
    flow.deadline([second], 1)
    [late] = flow.pull()
    assert texts([late]) == texts([second])
    flow.deadline([late, again], 600)
    assert flow.pull(seconds=1.2) == []


def test_a_streaming_client_gets_everything(flow: Flow) -> None:
    seen: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive(message: Any) -> None:
        message.ack()
        seen.put(message.data)

    flow.publish(*map(str, range(100)))
    streaming = flow.subscriber.subscribe(
        flow.subscription, receive, flow_control=FlowControl(max_messages=50)
    )
    try:
        flow.publish(*map(str, range(100, 1_000)))
        got = Counter(int(seen.get(timeout=20)) for _ in range(1_000))
    finally:
        streaming.cancel()
        streaming.result(20)
    assert got == Counter(range(1_000))


def test_a_key_is_received_in_order(flow: Flow) -> None:
    name = f"{flow.subscription}-ordered"
    flow.subscriber.create_subscription(
        request={"name": name, "topic": flow.topic, "enable_message_ordering": True}
    )
    for key in ("k1", "k2"):
        flow.publish(*[f"{key}-{number}" for number in range(40)], key=key)
    seen: dict[str, list[str]] = {"k1": [], "k2": []}

    def receive(message: Any) -> None:
        seen[message.ordering_key].append(message.data.decode())
        message.ack()

    streaming = flow.subscriber.subscribe(name, receive)
    try:
        until(lambda: sum(map(len, seen.values())) == 80)
    finally:
        streaming.cancel()
        streaming.result(20)
        flow.subscriber.delete_subscription(subscription=name)
    assert seen == {key: [f"{key}-{number}" for number in range(40)] for key in seen}


def test_the_dead_letter_topic_gets_what_fails_too_often(flow: Flow) -> None:
    mask = {"paths": ["dead_letter_policy"]}
    declared = flow.subscriber.get_subscription(subscription=flow.subscription)
    assert declared.dead_letter_policy.max_delivery_attempts == 100
    declared.dead_letter_policy.max_delivery_attempts = 5
    flow.subscriber.update_subscription(request={"subscription": declared, "update_mask": mask})
    flow.publish("poison", why="test")
    for attempt in range(1, 6):
        received = flow.pull()
        assert [item.delivery_attempt for item in received] == [attempt]
        flow.deadline(received, 0)
    # Google's moves it when the next message is asked for.
    assert flow.pull(seconds=0.5) == []
    [letter] = flow.pull(subscription=flow.kept)
    assert texts([letter]) == ["poison"]
    assert letter.message.attributes["why"] == "test"
    assert "CloudPubSubDeadLetterSourceDeliveryCount" in letter.message.attributes


def test_what_is_not_there(flow: Flow) -> None:
    with pytest.raises(NotFound):
        flow.publisher.publish(f"{flow.topic}-none", b"x").result(20)
    with pytest.raises(NotFound):
        flow.subscriber.pull(subscription=f"{flow.subscription}-none", max_messages=1)
    streaming = flow.subscriber.subscribe(f"{flow.subscription}-none", print)
    with pytest.raises(NotFound):
        streaming.result(20)


# -- what ours does beside it -----------------------------------------------------------------


def test_what_follows_a_nacked_message_of_a_key_comes_after_it(ours: Flow) -> None:
    """As with Pub/Sub; Google's emulator sends the nacked one alone, last."""
    name = f"{ours.subscription}-ordered"
    ours.subscriber.create_subscription(
        request={"name": name, "topic": ours.topic, "enable_message_ordering": True}
    )
    ours.publish(*map(str, range(40)), key="k")
    seen: list[int] = []
    nacked = threading.Event()

    def receive(message: Any) -> None:
        number = int(message.data)
        if number == 20 and not nacked.is_set():
            nacked.set()
            message.nack()
            return
        seen.append(number)
        message.ack()

    streaming = ours.subscriber.subscribe(name, receive)
    try:
        # The client goes on with what it holds; the server does not take that for done.
        until(lambda: 20 in seen and seen[-1] == 39)
    finally:
        streaming.cancel()
        streaming.result(20)
        ours.subscriber.delete_subscription(subscription=name)
    assert seen[:20] == list(range(20))
    assert seen[seen.index(20) :] == list(range(20, 40))


def test_what_reading_expects_is_there(ours: Flow, env: Env) -> None:
    line = ours.resource.check()
    assert line.startswith(f"Pub/Sub project quintet-local at {env['PUBSUB_EMULATOR_HOST']}, ")
    for flow in ("READING_INTERACTION", "READING_META"):
        dead = ours.resource.topic_path(env[f"{flow}_DEAD_TOPIC"])
        path = ours.resource.subscription_path(env[f"{flow}_SUBSCRIPTION"])
        declared = ours.subscriber.get_subscription(subscription=path)
        assert declared.topic == ours.resource.topic_path(env[f"{flow}_TOPIC"])
        assert declared.ack_deadline_seconds == 60
        assert declared.message_retention_duration.days == 7
        assert declared.dead_letter_policy.dead_letter_topic == dead
        kept = ours.resource.subscription_path(kept_subscription(env[f"{flow}_DEAD_TOPIC"]))
        assert ours.subscriber.get_subscription(subscription=kept).topic == dead


def test_an_unreachable_server_fails_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(GoogleAPICallError):
        PubSubResource(project="p", emulator_host="127.0.0.1:9").check()
    assert time.monotonic() - started < 10


def test_limits_of_requests(ours: Flow) -> None:
    from google.pubsub_v1 import PublisherClient

    def publish(messages: list[dict[str, Any]]) -> Any:
        request = {"topic": ours.topic, "messages": messages}
        return PublisherClient.publish(ours.publisher, request=request)

    for refused in ([], [{"data": b"x"}] * 1_001, [{"data": b""}], [{"data": b"x" * 10_000_000}]):
        with pytest.raises(InvalidArgument):
            publish(refused)
    assert len(publish([{"data": b"x" * 9_900}] * 1_000).message_ids) == 1_000
    with pytest.raises(MethodNotImplemented):
        ours.subscriber.create_snapshot(name="projects/p/snapshots/s", subscription="s")


def test_flow_control_of_the_server(ours: Flow, admin: PubSubAdmin) -> None:
    """Of the raw protocol: Google's client counts by itself too."""
    from google.pubsub_v1.types import StreamingPullRequest

    ours.publish(*["x" * 1_000] * 30)
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    requests.put(
        StreamingPullRequest(
            subscription=ours.subscription,
            stream_ack_deadline_seconds=10,
            max_outstanding_messages=20,
            max_outstanding_bytes=10_000,
        )
    )
    responses = ours.subscriber.streaming_pull(requests=iter(requests.get, None), timeout=20)
    first = next(responses)
    # The tenth message passes the limit of bytes: each has an id and a time beside its data.
    assert len(first.received_messages) == 10
    until(lambda: admin.subscription(ours.subscription)["num_outstanding_messages"] == 10)
    # Acknowledgements by the stream itself make room.
    done = [item.ack_id for item in first.received_messages[:4]]
    requests.put(StreamingPullRequest(ack_ids=done))
    assert len(next(responses).received_messages) == 4
    counts = admin.subscription(ours.subscription)
    assert counts["num_undelivered_messages"] == 26
    assert counts["num_outstanding_messages"] == 10
    assert counts["acknowledged"] == 4
    assert 0 <= counts["oldest_unacked_message_age"] < 60
    assert admin.published(ours.topic) == 30
    requests.put(None)


def test_a_waiting_pull_ends_with_the_first_message(ours: Flow) -> None:
    results: list[Any] = []
    waiting = threading.Thread(
        target=lambda: results.append(
            ours.subscriber.pull(subscription=ours.subscription, max_messages=5, timeout=20)
        )
    )
    waiting.start()
    ours.publish("a")
    waiting.join(5)
    assert texts(list(results[0].received_messages)) == ["a"]


def test_every_message_three_times(ours: Flow, admin: PubSubAdmin) -> None:
    admin.deliver(ours.subscription, 3)
    ours.publish("a", "b")
    seen: list[str] = []
    while len(seen) < 6:
        received = ours.pull()
        seen += texts(received)
        ours.acknowledge(received)
    assert Counter(seen) == {"a": 3, "b": 3}
    assert admin.subscription(ours.subscription)["num_undelivered_messages"] == 0


def test_a_client_survives_broken_streams(ours: Flow, admin: PubSubAdmin) -> None:
    seen: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def take(message: Any) -> None:
        seen.put(message.data)
        message.ack()

    streaming = ours.subscriber.subscribe(ours.subscription, take)
    try:
        for number in range(3):
            ours.publish(str(number))
            assert seen.get(timeout=20) == str(number).encode()
            admin.break_streams(ours.subscription)
    finally:
        streaming.cancel()
        streaming.result(20)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_what_was_published_outlives_the_server(tmp_path: Path, how: signal.Signals) -> None:
    """Published while the server goes and comes; subscribed all along by one client."""
    stack = Stack(tmp_path / "state")
    try:
        assert [result.error for result in stack.up(["pubsub"])] == [None]
        _publish_through_a_restart(stack, how)
    finally:
        stack.reset()


def _publish_through_a_restart(stack: Stack, how: signal.Signals) -> None:
    flow = Flow(stack.env())
    seen: Counter[int] = Counter()
    acknowledged: Counter[int] = Counter()
    before = time.time()

    def receive(message: Any) -> None:
        seen[int(message.data)] += 1
        if int(message.data) % 10 or acknowledged[int(message.data)]:
            acknowledged[int(message.data)] += 1
            message.ack()
        else:  # one in ten is acknowledged at its second delivery only
            acknowledged[int(message.data)] += 1
            message.nack()

    streaming = flow.subscriber.subscribe(flow.subscription, receive)
    batches = flow.resource.publisher(batch=BatchSettings(max_messages=20))
    futures: dict[Future[str], int] = {}
    for number in range(2_000):
        future = batches.publish(flow.topic, str(number).encode(), retry=AT_ONCE)
        futures[future] = number
        if number == 1_000:
            until(lambda: len(seen) > 100)
            end_server(stack, how)
            assert [result.error for result in stack.up(["pubsub"])] == [None]
    ids = {future.result(60): futures[future] for future in as_completed(futures, timeout=60)}
    admin = PubSubAdmin.of(stack)
    try:
        until(lambda: not admin.subscription(flow.subscription)["num_undelivered_messages"], 60)
        assert not streaming.done()
    finally:
        streaming.cancel()
        streaming.result(20)
        batches.stop()
    assert set(seen) == set(range(2_000))
    assert len(ids) == 2_000
    assert all(before * 1e6 < int(name) < time.time() * 1e6 + 1e6 for name in ids)
    flow.close()
