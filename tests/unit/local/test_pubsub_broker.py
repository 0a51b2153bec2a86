"""The Pub/Sub server's broker over a journal on disk, without gRPC."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import field_mask_pb2

from local.pubsub import wire
from local.pubsub.backlog import Consumer
from local.pubsub.broker import DELETED_TOPIC, Broker
from local.pubsub.journal import Journal
from local.pubsub.rules import Refused

TOPIC, OTHER = "projects/p/topics/news", "projects/p/topics/other"
NAME = "projects/p/subscriptions/news-reader"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pubsub.sqlite"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(path)


@pytest.fixture
def broker(journal: Journal) -> Broker:
    broker = Broker(journal)
    broker.create_topic(wire.Topic(name=TOPIC))
    return broker


def subscribe(broker: Broker, name: str = NAME, topic: str = TOPIC, **more: Any) -> Any:
    return broker.create_subscription(wire.Subscription(name=name, topic=topic, **more))


def publish(broker: Broker, *texts: str, topic: str = TOPIC, key: str = "") -> list[str]:
    messages = [wire.PubsubMessage(data=text.encode(), ordering_key=key) for text in texts]
    return broker.publish(topic, messages)


def receive(broker: Broker, name: str = NAME, limit: int = 1_000) -> list[Any]:
    response = wire.PullResponse()
    broker.deliver(broker.queue(name), Consumer(), 0, limit, response.received_messages)
    return list(response.received_messages)


def texts(received: list[Any]) -> list[str]:
    return [item.message.data.decode() for item in received]


def acknowledge(broker: Broker, received: list[Any]) -> None:
    broker.acknowledge(broker.queue(NAME), [item.ack_id for item in received])


def nack(broker: Broker, received: list[Any]) -> None:
    broker.modify(broker.queue(NAME), [item.ack_id for item in received], 0)


def test_every_subscription_gets_every_message(broker: Broker) -> None:
    subscribe(broker)
    subscribe(broker, "projects/p/subscriptions/second")
    before = time.time()
    ids = publish(broker, "a", "b")
    for name in (NAME, "projects/p/subscriptions/second"):
        got = receive(broker, name)
        assert texts(got) == ["a", "b"]
        assert [item.message.message_id for item in got] == ids
        assert [item.delivery_attempt for item in got] == [0, 0]
        published = got[0].message.publish_time.ToNanoseconds() / 1e9
        assert before - 0.001 <= published <= time.time()


def test_what_was_published_before_is_not_delivered(broker: Broker) -> None:
    publish(broker, "early")
    subscribe(broker)
    publish(broker, "late")
    assert texts(receive(broker)) == ["late"]


def test_ids_grow(broker: Broker) -> None:
    ids = [int(name) for _ in range(50) for name in publish(broker, "a", "b", "c")]
    assert ids == sorted(set(ids))


def test_a_server_that_was_killed_forgets_nothing_committed(
    broker: Broker, journal: Journal, path: Path
) -> None:
    subscribe(broker, enable_message_ordering=True)
    ids = publish(broker, "1", "2", key="k") + publish(broker, "3", "4")
    got = receive(broker)
    acknowledge(broker, [item for item in got if item.message.data == b"3"])
    nack(broker, [item for item in got if item.message.data == b"4"])
    journal.commit()
    publish(broker, "never answered")

    # What a killed server leaves: the write-ahead log as it is, no lock.
    left = shutil.copytree(path.parent, path.parent / "left")
    again = Broker(Journal(left / path.name))
    got = receive(again)
    assert sorted(texts(got)) == ["1", "2", "4"]
    assert texts([item for item in got if item.message.ordering_key]) == ["1", "2"]
    assert {item.message.message_id for item in got} == {ids[0], ids[1], ids[3]}
    assert min(int(name) for name in publish(again, "new")) > max(map(int, ids))
    counts = again.counts()
    assert counts["topics"] == {TOPIC: {"published": 5}}
    assert counts["subscriptions"][NAME]["num_undelivered_messages"] == 4


def test_attempts_outlive_the_server(broker: Broker, journal: Journal, path: Path) -> None:
    policy = wire.Subscription().dead_letter_policy
    policy.dead_letter_topic, policy.max_delivery_attempts = OTHER, 9
    subscribe(broker, dead_letter_policy=policy)
    publish(broker, "a")
    for _ in range(3):
        nack(broker, receive(broker))
    journal.commit()
    [item] = receive(Broker(Journal(path)))
    assert item.delivery_attempt == 4


def test_the_last_attempt_leads_to_the_dead_letter_topic(broker: Broker) -> None:
    policy = wire.Subscription().dead_letter_policy
    policy.dead_letter_topic = OTHER
    declared = subscribe(broker, dead_letter_policy=policy)
    assert declared.dead_letter_policy.max_delivery_attempts == 5
    [published] = publish(broker, "poison")
    # While there is no such topic, it goes on being delivered.
    attempts = [0]
    for _ in range(6):
        got = receive(broker)
        attempts.append(got[0].delivery_attempt)
        nack(broker, got)
    assert attempts == [0, 1, 2, 3, 4, 5, 6]
    broker.create_topic(wire.Topic(name=OTHER))
    subscribe(broker, "projects/p/subscriptions/dead-reader", OTHER)
    nack(broker, receive(broker))
    assert receive(broker) == []
    [letter] = receive(broker, "projects/p/subscriptions/dead-reader")
    assert letter.message.data == b"poison"
    assert letter.message.message_id != published
    source = "CloudPubSubDeadLetterSource"
    attributes = dict(letter.message.attributes)
    assert attributes.pop(f"{source}TopicPublishTime").endswith("Z")
    assert attributes == {
        f"{source}DeliveryCount": "7",
        f"{source}Subscription": "news-reader",
        f"{source}SubscriptionProject": "p",
    }
    counts = broker.counts()["subscriptions"][NAME]
    assert (counts["nacked"], counts["dead_lettered"]) == (7, 1)
    assert counts["num_undelivered_messages"] == 0


def test_a_fault_delivers_again_what_was_acknowledged(broker: Broker) -> None:
    subscribe(broker)
    publish(broker, "a", "b")
    broker.queue(NAME).deliveries = 5
    seen = []
    while got := receive(broker):
        seen += texts(got)
        acknowledge(broker, got)
    assert sorted(seen) == ["a"] * 5 + ["b"] * 5


def test_messages_past_their_retention_are_forgotten(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscribe(broker, message_retention_duration=wire.Duration(seconds=600))
    publish(broker, "old", "out")
    nack(broker, receive(broker)[:1])
    real = time.time_ns
    monkeypatch.setattr("local.pubsub.broker.time.time_ns", lambda: real() + 601 * 10**9)
    publish(broker, "new")
    broker.forget()
    assert texts(receive(broker)) == ["new"]
    assert broker.counts()["subscriptions"][NAME]["forgotten"] == 2


def test_batches_are_bounded(broker: Broker) -> None:
    subscribe(broker)
    publish(broker, *(["x" * 400_000] * 5))
    assert [len(receive(broker)) for _ in range(3)] == [3, 2, 0]
    publish(broker, *(["x"] * 5))
    assert [len(receive(broker, limit=2)) for _ in range(3)] == [2, 2, 1]


def test_changes_of_a_subscription(broker: Broker) -> None:
    subscribe(broker)
    changed = wire.Subscription(name=NAME, ack_deadline_seconds=77, labels={"a": "b"})
    mask = field_mask_pb2.FieldMask(paths=["ack_deadline_seconds"])
    updated = broker.update_subscription(changed, mask)
    assert updated.ack_deadline_seconds == 77
    assert not updated.labels
    assert updated.topic == TOPIC
    for path in ("topic", "nonsense"):
        with pytest.raises(Refused, match=path):
            broker.update_subscription(changed, field_mask_pb2.FieldMask(paths=[path]))


def test_deleting(broker: Broker) -> None:
    subscribe(broker)
    publish(broker, "a")
    queue = broker.queue(NAME)
    broker.delete_topic(TOPIC)
    assert broker.queue(NAME).declared.topic == DELETED_TOPIC
    assert texts(receive(broker)) == ["a"]
    broker.delete_subscription(NAME)
    assert queue.deleted
    assert broker.counts() == {"topics": {}, "subscriptions": {}}
    for call in (lambda: broker.queue(NAME), lambda: publish(broker, "b")):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code is grpc.StatusCode.NOT_FOUND


def test_lists_are_of_one_project(broker: Broker) -> None:
    broker.create_topic(wire.Topic(name="projects/pq/topics/news"))
    subscribe(broker)
    assert [topic.name for topic in broker.topics("projects/p")] == [TOPIC]
    assert [found.name for found in broker.subscriptions("projects/p")] == [NAME]
    assert broker.subscriptions("projects/pq") == []
    assert broker.topic_subscriptions(TOPIC) == [NAME]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"name": "news-reader"}, "INVALID_ARGUMENT"),
        ({"name": "projects/p/topics/x12"}, "INVALID_ARGUMENT"),
        ({"topic": "projects/p/topics/none"}, "NOT_FOUND"),
        ({"ack_deadline_seconds": 9}, "INVALID_ARGUMENT"),
        ({"ack_deadline_seconds": 601}, "INVALID_ARGUMENT"),
        ({"message_retention_duration": wire.Duration(seconds=599)}, "INVALID_ARGUMENT"),
        ({"filter": 'attributes.a = "b"'}, "UNIMPLEMENTED"),
        ({"enable_exactly_once_delivery": True}, "UNIMPLEMENTED"),
        ({"push_config": {"push_endpoint": "https://x"}}, "UNIMPLEMENTED"),
        ({"bigquery_config": {"table": "a.b.c"}}, "UNIMPLEMENTED"),
        ({"dead_letter_policy": {"dead_letter_topic": OTHER, "max_delivery_attempts": 4}}, None),
    ],
)
def test_what_is_refused(broker: Broker, more: dict[str, Any], code: str | None) -> None:
    with pytest.raises(Refused) as refused:
        subscribe(broker, **more)
    assert refused.value.code is getattr(grpc.StatusCode, code or "INVALID_ARGUMENT")
    assert not broker.subscriptions("projects/p")


def test_twice_the_same_name(broker: Broker) -> None:
    subscribe(broker, push_config={})
    for call in (lambda: broker.create_topic(wire.Topic(name=TOPIC)), lambda: subscribe(broker)):
        with pytest.raises(Refused) as refused:
            call()
        assert refused.value.code is grpc.StatusCode.ALREADY_EXISTS
