"""Deliveries gathered into micro-batches.

Belongs here: what a delivery is, the queue between the subscriber's thread and the writer's, and
when a micro-batch closes. Does not: what is done with one (``writing.py``).

A micro-batch closes at a number of deliveries, at a number of bytes, or a fifth of a second after
its first delivery, whichever is first. While one is being written the next gathers, so that they
grow when there is much to do, and the cost of a MERGE, which hardly depends on its rows, is shared.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Delivery(Protocol):
    """One delivery of a message, as google.cloud.pubsub_v1's Message has it."""

    @property
    def message_id(self) -> str:
        """Pub/Sub's id, the same for every delivery of a message."""

    @property
    def publish_time(self) -> datetime:
        """When Pub/Sub took the message, UTC."""

    @property
    def data(self) -> bytes:
        """What was published."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """The publisher's attributes."""

    @property
    def ordering_key(self) -> str:
        """The publisher's ordering key, or nothing."""

    @property
    def size(self) -> int:
        """Bytes of the message as a whole."""

    @property
    def ack_id(self) -> str:
        """The name of this delivery, by which it is acknowledged."""

    def drop(self) -> None:
        """Keep its lease no longer, and let another message come in its place."""

    def nack(self) -> None:
        """It is to be delivered again."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """When a micro-batch closes."""

    rows: int
    bytes: int
    seconds: float


#: Seconds between two looks whether the inbox was closed, while a micro-batch waits for its end.
_LOOK_SECONDS = 0.1


class Inbox:
    """Deliveries that wait for the writer. Any thread may put, one gathers."""

    def __init__(self) -> None:
        self.received = 0
        self._waiting: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._late: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        #: Told the ordering key of a delivery that was gathered: the next of it may come.
        self.next_of_key: Callable[[str], None] = lambda _key: None

    def put(self, delivery: Delivery) -> None:
        """Take a delivery; called by the one thread of the subscriber."""
        self.received += 1
        (self._late if self._closed.is_set() else self._waiting).put(delivery)

    def close(self) -> None:
        """Gather no delivery that comes from now on; `left` has those."""
        self._closed.set()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def left(self) -> list[Delivery]:
        """Everything that was not gathered, taken out."""
        return [*_emptied(self._waiting), *_emptied(self._late)]

    def gather(
        self, limits: BatchLimits, *, wait: float, not_before: float = 0.0
    ) -> list[Delivery]:
        """The next micro-batch; nothing when no delivery came for ``wait`` seconds.

        ``not_before`` (of time.monotonic) holds back its end, not its limits. A closed inbox waits
        for nothing more.
        """
        try:
            first = self._waiting.get(timeout=0 if self._closed.is_set() else wait)
        except queue.Empty:
            return []
        self._taken(first)
        batch, size = [first], first.size
        closes_at = max(time.monotonic() + limits.seconds, not_before)
        while len(batch) < limits.rows and size < limits.bytes:
            left = 0.0 if self._closed.is_set() else closes_at - time.monotonic()
            try:
                delivery = self._waiting.get(timeout=min(max(left, 0.0), _LOOK_SECONDS))
            except queue.Empty:
                if left > 0:
                    continue
                break
            self._taken(delivery)
            batch.append(delivery)
            size += delivery.size
        return batch

    def _taken(self, delivery: Delivery) -> None:
        if delivery.ordering_key and not self._closed.is_set():
            self.next_of_key(delivery.ordering_key)


def _emptied(waiting: queue.SimpleQueue[Delivery]) -> list[Delivery]:
    deliveries = []
    while True:
        try:
            deliveries.append(waiting.get_nowait())
        except queue.Empty:
            return deliveries
