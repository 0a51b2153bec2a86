"""What one subscription has not been told is done: messages that wait, messages that are out.

Belongs here: order, leases, attempts, delays; all in memory, by message number, the clock given.
Does not: bodies of messages, disk (`local.pubsub.journal`), protocol.

An ordering key's messages are out at one consumer only, in order; one that comes back takes
those after it along (cloud.google.com/pubsub/docs/ordering). Unlike Google's, a later message of
the key that was acknowledged meanwhile stays done.
"""

from __future__ import annotations

import heapq
import itertools
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

_NEVER = float("inf")


def _nobody() -> None:
    return None


@dataclass(eq=False, slots=True)
class Consumer:
    """One stream or pull. Limits of 0 or less are none; ``wake`` is called when it may get more."""

    max_messages: int = 0
    max_bytes: int = 0
    wake: Callable[[], None] = _nobody
    messages: int = 0
    bytes: int = 0

    @property
    def full(self) -> bool:
        """Whether its limits are reached; the last message may pass the limit of bytes."""
        return (0 < self.max_messages <= self.messages) or (0 < self.max_bytes <= self.bytes)


@dataclass(slots=True)
class Lease:
    """A message that is out until ``deadline`` (seconds of the caller's clock).

    ``attempt`` says which delivery this is, from 1; ``spent`` that it came back from its last.
    """

    message: int
    attempt: int
    deadline: float
    size: int
    key: str
    consumer: Consumer
    spent: bool = False


@dataclass(slots=True)
class _Key:
    """The messages of one ordering key: those that wait, and the ack ids of those that are out."""

    waiting: deque[int] = field(default_factory=deque)
    out: dict[int, str] = field(default_factory=dict)
    holder: Consumer | None = None
    paused: bool = False


@dataclass(slots=True)
class Delay:
    """How long a message that came back waits: doubled with every attempt up to ``most``."""

    least: float = 0.0
    most: float = 0.0

    def after(self, attempt: int) -> float:
        """Seconds after delivery number ``attempt``."""
        return min(self.most, self.least * 2.0 ** min(attempt - 1, 30))


class Backlog:
    """One subscription's messages. A message is its number; numbers grow with time."""

    def __init__(self, *, ordered: bool = False) -> None:
        self.delay = Delay()
        #: Deliveries after which a message that comes back is handed to the caller; 0 for never.
        self.max_attempts = 0
        self._ordered = ordered
        self._loose: deque[int] = deque()
        self._keys: dict[str, _Key] = {}
        self._turns: deque[str] = deque()
        self._attempts: dict[int, int] = {}
        self._leases: dict[str, Lease] = {}
        self._later: list[tuple[float, int, str]] = []
        self._soonest = _NEVER
        self._consumers: set[Consumer] = set()
        # An ack id of an earlier server must not fit a lease of this one.
        self._prefix = uuid.uuid4().hex[:12]
        self._numbers = itertools.count(1)

    # -- counts -----------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Messages that are out."""
        return len(self._leases)

    @property
    def waiting(self) -> int:
        """Messages that are not out, delayed ones included."""
        ordered = sum(len(key.waiting) for key in self._keys.values())
        return len(self._loose) + ordered + sum(1 for _, _, key in self._later if not key)

    # -- consumers --------------------------------------------------------------------------

    def join(self, consumer: Consumer) -> None:
        """Wake ``consumer`` from now on when there may be something for it."""
        self._consumers.add(consumer)

    def leave(self, consumer: Consumer) -> None:
        """Forget ``consumer``; what it has out stays out until acknowledged or expired."""
        self._consumers.discard(consumer)

    def _wake_all(self) -> None:
        for consumer in self._consumers:
            consumer.wake()

    # -- messages ---------------------------------------------------------------------------

    def add(self, message: int, key: str = "", attempts: int = 0) -> None:
        """Append a message that waits; call `added` after the last."""
        if attempts:
            self._attempts[message] = attempts
        if not self._ordered or not key:
            self._loose.append(message)
            return
        queue = self._keys.setdefault(key, _Key())
        if not queue.waiting and not queue.paused:
            self._turns.append(key)
        queue.waiting.append(message)

    def added(self) -> None:
        """Tell the consumers."""
        self._wake_all()

    def next(self, consumer: Consumer) -> tuple[int, str] | None:
        """The next message and its ordering key, taken out of the queue: `lease` it."""
        if self._loose:
            return self._loose.popleft(), ""
        for _ in range(len(self._turns)):
            key = self._turns[0]
            queue = self._keys[key]
            if queue.out and queue.holder is not consumer:
                self._turns.rotate(-1)
                continue
            message = queue.waiting.popleft()
            if not queue.waiting:
                self._turns.popleft()
            return message, key
        return None

    def lease(
        self, message: int, key: str, size: int, deadline: float, consumer: Consumer
    ) -> tuple[str, int]:
        """Hand ``message`` out; the ack id, and which delivery this is (from 1)."""
        attempt = self._attempts.pop(message, 0) + 1
        ack_id = f"{self._prefix}-{next(self._numbers)}"
        self._leases[ack_id] = Lease(message, attempt, deadline, size, key, consumer)
        self._soonest = min(self._soonest, deadline)
        consumer.messages += 1
        consumer.bytes += size
        if key:
            queue = self._keys[key]
            queue.holder = consumer
            queue.out[message] = ack_id
        return ack_id, attempt

    def find(self, ack_id: str) -> Lease | None:
        """The lease of ``ack_id``, unless it ended."""
        return self._leases.get(ack_id)

    def acknowledge(self, ack_ids: Iterable[str]) -> list[int]:
        """End leases for good; the messages that are done. Unknown ack ids are none of ours."""
        done = []
        woken: set[Consumer] = set()
        for ack_id in ack_ids:
            lease = self._end(ack_id)
            if lease is None:
                continue
            done.append(lease.message)
            woken.add(lease.consumer)
            if lease.key:
                self._settle_key(lease.key)
        for consumer in woken:
            consumer.wake()
        return done

    def extend(self, ack_ids: Iterable[str], deadline: float) -> None:
        """Move the deadline of leases that have not ended."""
        self._soonest = min(self._soonest, deadline)
        for ack_id in ack_ids:
            lease = self._leases.get(ack_id)
            if lease is not None:
                lease.deadline = deadline

    def give_back(self, ack_ids: Iterable[str], now: float) -> list[Lease]:
        """End leases without success: the messages wait again, after the delay.

        Returns all that ended. Those that are ``spent`` are neither waiting nor out now.
        """
        ended: list[Lease] = []
        for ack_id in ack_ids:
            lease = self._leases.get(ack_id)
            if lease is None:
                continue
            followers = [ack_id]
            if lease.key:
                out = self._keys[lease.key].out
                followers = [out[number] for number in sorted(out) if number >= lease.message]
            ended += [gone for name in followers if (gone := self._end(name)) is not None]
        ended.sort(key=lambda lease: lease.message)
        for lease in ended:
            lease.spent = 0 < self.max_attempts <= lease.attempt
        self._wait_again([lease for lease in ended if not lease.spent], now)
        for key in {lease.key for lease in ended if lease.key}:
            self._settle_key(key)
        if ended:
            self._wake_all()
        return ended

    def tick(self, now: float) -> list[Lease]:
        """Give back what is past its deadline, release delayed messages; as `give_back`."""
        self._release_later(now)
        if now < self._soonest:
            return []
        late = [ack_id for ack_id, lease in self._leases.items() if lease.deadline <= now]
        ended = self.give_back(late, now)
        self._soonest = min((lease.deadline for lease in self._leases.values()), default=_NEVER)
        return ended

    def forget_before(self, number: int) -> None:
        """Drop waiting messages below ``number``; those that are out go when they come back."""
        self._loose = deque(message for message in self._loose if message >= number)
        for queue in self._keys.values():
            queue.waiting = deque(message for message in queue.waiting if message >= number)
        self._turns = deque(key for key in self._turns if self._keys[key].waiting)
        self._later = [entry for entry in self._later if entry[2] or entry[1] >= number]
        self._attempts = {m: count for m, count in self._attempts.items() if m >= number}
        heapq.heapify(self._later)

    # -- inside -----------------------------------------------------------------------------

    def _end(self, ack_id: str) -> Lease | None:
        lease = self._leases.pop(ack_id, None)
        if lease is None:
            return None
        lease.consumer.messages -= 1
        lease.consumer.bytes -= lease.size
        if lease.key:
            del self._keys[lease.key].out[lease.message]
        return lease

    def _wait_again(self, leases: list[Lease], now: float) -> None:
        for lease in leases:
            self._attempts[lease.message] = lease.attempt
            if not lease.key:
                self._wait_loose(lease, now)
        # From the last to the first: each goes before those that wait.
        for lease in reversed(leases):
            if lease.key:
                self._wait_in_key(lease, now)

    def _wait_loose(self, lease: Lease, now: float) -> None:
        wait = self.delay.after(lease.attempt)
        if wait > 0:
            heapq.heappush(self._later, (now + wait, lease.message, ""))
        else:
            self._loose.append(lease.message)

    def _wait_in_key(self, lease: Lease, now: float) -> None:
        queue = self._keys[lease.key]
        if not queue.waiting and not queue.paused:
            self._turns.append(lease.key)
        queue.waiting.appendleft(lease.message)
        wait = self.delay.after(lease.attempt)
        if wait > 0 and not queue.paused:
            queue.paused = True
            self._turns.remove(lease.key)
            heapq.heappush(self._later, (now + wait, 0, lease.key))

    def _release_later(self, now: float) -> None:
        released = False
        while self._later and self._later[0][0] <= now:
            _, message, key = heapq.heappop(self._later)
            released = True
            if not key:
                self._loose.append(message)
                continue
            queue = self._keys[key]
            queue.paused = False
            if queue.waiting:
                self._turns.append(key)
        if released:
            self._wake_all()

    def _settle_key(self, key: str) -> None:
        queue = self._keys.get(key)
        if queue is None or queue.out:
            return
        queue.holder = None
        if queue.waiting:
            # Another consumer may have it now.
            self._wake_all()
        elif not queue.paused:
            del self._keys[key]
