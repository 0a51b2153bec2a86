"""Topics and subscriptions: what each call of Pub/Sub does to backlogs and the journal.

Belongs here: the behaviour behind the protocol, in one thread, nothing awaited. Does not: gRPC
(`local.pubsub.endpoints`), what a request may look like (`local.pubsub.rules`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from local.pubsub import rules, wire
from local.pubsub.backlog import Backlog, Consumer, Delay, Lease
from local.pubsub.journal import Journal
from local.pubsub.rules import Refused

#: What one response carries at most.
BATCH_MESSAGES = 1_000
BATCH_BYTES = 1_000_000
#: What a subscription's topic is called once it is deleted.
DELETED_TOPIC = "_deleted-topic_"


@dataclass(eq=False)
class Queue:
    """A subscription that is served: its declaration, its messages, what happened to them."""

    number: int
    declared: Any
    backlog: Backlog
    #: Deliveries that every message gets at least, acknowledged or not: a fault for tests.
    deliveries: int = 1
    deleted: bool = False
    happened: Counter[str] = field(default_factory=Counter)


class Broker:
    """All of one server. Calls change memory and journal; the caller commits the journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._topics: dict[str, Any] = {}
        self._queues: dict[str, Queue] = {}
        for name, (body, _) in journal.topics().items():
            self._topics[name] = wire.Topic.FromString(body)
        for name, (number, body) in journal.subscriptions().items():
            queue = _queue(number, wire.Subscription.FromString(body))
            for message, key, attempts in journal.waiting(number):
                queue.backlog.add(message, key, attempts)
            self._queues[name] = queue
        self._last = journal.last_message()
        self._adjust_dead_letters()

    # -- topics -----------------------------------------------------------------------------

    def create_topic(self, topic: Any) -> Any:
        """Raises Refused: it exists, or has what this server cannot do."""
        rules.check_topic(topic)
        if topic.name in self._topics:
            raise Refused.exists(topic.name)
        return self._keep_topic(topic)

    def topic(self, name: str) -> Any:
        """Raises Refused: there is none."""
        if name not in self._topics:
            raise Refused.not_found(name)
        return self._topics[name]

    def update_topic(self, changed: Any, mask: Any) -> Any:
        """Raises Refused: there is none, or it may not change so."""
        topic = rules.merged(self.topic(changed.name), changed, mask, fixed={"name"})
        rules.check_topic(topic)
        return self._keep_topic(topic)

    def _keep_topic(self, topic: Any) -> Any:
        self._journal.put_topic(topic.name, topic.SerializeToString())
        self._topics[topic.name] = topic
        self._adjust_dead_letters()
        return topic

    def delete_topic(self, name: str) -> None:
        """Its subscriptions keep what they have. Raises Refused: there is none."""
        self.topic(name)
        for queue in self._subscribed(name):
            queue.declared.topic = DELETED_TOPIC
            self._journal.put_subscription(queue.declared.name, queue.declared.SerializeToString())
        self._journal.remove_topic(name)
        del self._topics[name]
        self._adjust_dead_letters()

    def topics(self, project: str) -> list[Any]:
        """Those of ``projects/…``, by name."""
        return [self._topics[name] for name in sorted(self._topics) if _below(name, project)]

    def topic_subscriptions(self, name: str) -> list[str]:
        """Names of its subscriptions. Raises Refused: there is no such topic."""
        self.topic(name)
        return sorted(queue.declared.name for queue in self._subscribed(name))

    def _subscribed(self, topic: str) -> list[Queue]:
        return [queue for queue in self._queues.values() if queue.declared.topic == topic]

    # -- subscriptions ----------------------------------------------------------------------

    def create_subscription(self, declared: Any) -> Any:
        """It gets what is published from now on. Raises Refused as `create_topic` does."""
        declared = rules.completed(declared)
        if declared.name in self._queues:
            raise Refused.exists(declared.name)
        self.topic(declared.topic)
        number = self._journal.put_subscription(declared.name, declared.SerializeToString())
        self._queues[declared.name] = _queue(number, declared)
        self._adjust_dead_letters()
        return declared

    def queue(self, name: str) -> Queue:
        """Raises Refused: there is none."""
        if name not in self._queues:
            raise Refused.not_found(name)
        return self._queues[name]

    def update_subscription(self, changed: Any, mask: Any) -> Any:
        """Raises Refused: there is none, or it may not change so."""
        queue = self.queue(changed.name)
        fixed = {"name", "topic", "enable_message_ordering"}
        declared = rules.completed(rules.merged(queue.declared, changed, mask, fixed=fixed))
        self._journal.put_subscription(declared.name, declared.SerializeToString())
        queue.declared = declared
        queue.backlog.delay = _delay(declared)
        self._adjust_dead_letters()
        return declared

    def delete_subscription(self, name: str) -> None:
        """Its messages go with it. Raises Refused: there is none."""
        queue = self.queue(name)
        self._journal.remove_subscription(queue.number)
        del self._queues[name]
        queue.deleted = True
        queue.backlog.added()

    def subscriptions(self, project: str) -> list[Any]:
        """Those of ``projects/…``, by name."""
        names = sorted(name for name in self._queues if _below(name, project))
        return [self._queues[name].declared for name in names]

    # -- messages ---------------------------------------------------------------------------

    def publish(self, topic: str, messages: Iterable[Any]) -> list[str]:
        """Add messages to every subscription of ``topic``; their ids.

        Raises Refused: there is no such topic.
        """
        self.topic(topic)
        rows = []
        for message in messages:
            # Microseconds since the epoch, one apart: they grow, also across restarts.
            now = time.time_ns()
            self._last = max(self._last + 1, now // 1_000)
            message.message_id = str(self._last)
            message.publish_time.FromNanoseconds(now // 1_000 * 1_000)
            rows.append((self._last, message.ordering_key, message.SerializeToString()))
        queues = self._subscribed(topic)
        self._journal.append(topic, [queue.number for queue in queues], rows)
        for queue in queues:
            for number, key, _ in rows:
                queue.backlog.add(number, key)
            queue.backlog.added()
        return [str(number) for number, _, _ in rows]

    def deliver(
        self, queue: Queue, consumer: Consumer, seconds: int, limit: int, received: Any
    ) -> None:
        """Hand out messages for ``seconds`` each: append them to ``received``."""
        deadline = time.monotonic() + (seconds or queue.declared.ack_deadline_seconds)
        counted = queue.declared.HasField("dead_letter_policy")
        size = 0
        while len(received) < limit and size < BATCH_BYTES and not consumer.full:
            found = queue.backlog.next(consumer)
            if found is None:
                break
            number, key = found
            body = self._journal.body(queue.number, number)
            if body is None:  # past its retention
                continue
            size += len(body)
            item = received.add()
            item.message.MergeFromString(body)
            item.ack_id, attempt = queue.backlog.lease(number, key, len(body), deadline, consumer)
            if counted:
                item.delivery_attempt = attempt
        queue.happened["delivered"] += len(received)

    def acknowledge(self, queue: Queue, ack_ids: Iterable[str]) -> None:
        """Be done with messages; ack ids whose lease ended mean nothing."""
        if queue.deliveries > 1:
            ack_ids = self._again(queue, ack_ids)
        done = queue.backlog.acknowledge(ack_ids)
        self._journal.done(queue.number, done)
        queue.happened["acknowledged"] += len(done)

    def _again(self, queue: Queue, ack_ids: Iterable[str]) -> list[str]:
        """Deliver once more what was not delivered often enough; the other ack ids."""
        found = {ack_id: queue.backlog.find(ack_id) for ack_id in ack_ids}
        soon = {name for name, lease in found.items() if lease and lease.attempt < queue.deliveries}
        self._came_back(queue, queue.backlog.give_back(soon, time.monotonic()))
        return [name for name in found if name not in soon]

    def modify(self, queue: Queue, ack_ids: Iterable[str], seconds: int) -> None:
        """Let leases last ``seconds`` from now; 0 gives the messages back."""
        now = time.monotonic()
        if seconds:
            queue.backlog.extend(ack_ids, now + seconds)
            return
        ended = queue.backlog.give_back(ack_ids, now)
        queue.happened["nacked"] += len(ended)
        self._came_back(queue, ended)

    def tick(self) -> None:
        """End leases that are due; call it several times a second."""
        now = time.monotonic()
        for queue in list(self._queues.values()):
            ended = queue.backlog.tick(now)
            queue.happened["expired"] += len(ended)
            self._came_back(queue, ended)

    def forget(self) -> None:
        """Drop messages past their subscription's retention."""
        for queue in self._queues.values():
            kept = queue.declared.message_retention_duration.ToSeconds()
            limit = time.time_ns() // 1_000 - kept * 1_000_000
            oldest = self._journal.oldest(queue.number)
            if oldest is not None and oldest < limit:
                queue.happened["forgotten"] += self._journal.forget_before(queue.number, limit)
                queue.backlog.forget_before(limit)

    def _came_back(self, queue: Queue, ended: list[Lease]) -> None:
        """Count attempts; move messages that had their last to the dead-letter topic."""
        again = [(lease.message, lease.attempt) for lease in ended if not lease.spent]
        if again:
            self._journal.attempted(queue.number, again)
        spent = [lease for lease in ended if lease.spent]
        if not spent:
            return
        letters = []
        for lease in spent:
            body = self._journal.body(queue.number, lease.message)
            if body is not None:
                letters.append(_letter(queue.declared, body, lease.attempt))
        self.publish(queue.declared.dead_letter_policy.dead_letter_topic, letters)
        self._journal.done(queue.number, [lease.message for lease in spent])
        queue.happened["dead_lettered"] += len(letters)

    def _adjust_dead_letters(self) -> None:
        """While a dead-letter topic does not exist, messages go on being delivered."""
        for queue in self._queues.values():
            policy = queue.declared.dead_letter_policy
            exists = policy.dead_letter_topic in self._topics
            queue.backlog.max_attempts = policy.max_delivery_attempts if exists else 0

    # -- what it looks like -----------------------------------------------------------------

    def counts(self) -> dict[str, Any]:
        """Messages by topic and subscription, named as Cloud Monitoring's metrics are."""
        topics = {
            name: {"published": number} for name, (_, number) in self._journal.topics().items()
        }
        return {
            "topics": topics,
            "subscriptions": {name: self._count(queue) for name, queue in self._queues.items()},
        }

    def _count(self, queue: Queue) -> dict[str, float]:
        oldest = self._journal.oldest(queue.number)
        age = 0.0 if oldest is None else time.time() - oldest / 1e6
        happened = ("delivered", "acknowledged", "nacked", "expired", "dead_lettered", "forgotten")
        return {
            "num_undelivered_messages": queue.backlog.waiting + queue.backlog.outstanding,
            "num_outstanding_messages": queue.backlog.outstanding,
            "oldest_unacked_message_age": round(max(0.0, age), 3),
            **{name: queue.happened[name] for name in happened},
        }


def _queue(number: int, declared: Any) -> Queue:
    backlog = Backlog(ordered=declared.enable_message_ordering)
    backlog.delay = _delay(declared)
    return Queue(number, declared, backlog)


def _delay(declared: Any) -> Delay:
    if not declared.HasField("retry_policy"):
        return Delay()
    policy = declared.retry_policy
    return Delay(
        policy.minimum_backoff.ToTimedelta().total_seconds(),
        policy.maximum_backoff.ToTimedelta().total_seconds(),
    )


def _below(name: str, project: str) -> bool:
    return name.startswith(f"{project}/")


def _letter(declared: Any, body: bytes, attempts: int) -> Any:
    """The message as the dead-letter topic gets it.

    The attributes are those of cloud.google.com/pubsub/docs/dead-letter-topics.
    """
    message = wire.PubsubMessage.FromString(body)
    _, project, _, name = declared.name.split("/")
    source = "CloudPubSubDeadLetterSource"
    message.attributes[f"{source}DeliveryCount"] = str(attempts)
    message.attributes[f"{source}Subscription"] = name
    message.attributes[f"{source}SubscriptionProject"] = project
    message.attributes[f"{source}TopicPublishTime"] = message.publish_time.ToJsonString()
    return message
