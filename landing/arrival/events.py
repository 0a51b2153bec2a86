"""Keys that a store's events name, gathered between ticks: an accelerator of the scan.

Belongs here: the queue and the thread that fills it. Does not: any store's events (beside the
store's adapter), or what is done with a key (``tick.py``).

An event only says where to look. Whatever gets lost, because the process ends, the queue is full or
the subscription breaks, the scan finds on its own: that costs time, never data.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

#: Keys that wait for a tick at most; more than that is the scan's business.
MAX_KEYS = 10_000

#: Keys that one tick looks up at most, a request each.
KEYS_PER_TICK = 500

#: Seconds before a broken subscription is renewed, doubled with every failure in a row.
FIRST_DELAY, LAST_DELAY = 1.0, 60.0


@dataclass(frozen=True, slots=True)
class Status:
    """What was gathered since the start; ``last_error`` is None once an event came after it."""

    received: int
    dropped: int
    failures: int
    last_error: str | None


class KeyQueue:
    """Keys in order of their events, each once, at most ``limit``; safe between threads."""

    def __init__(self, limit: int = MAX_KEYS) -> None:
        self._limit = limit
        self._keys: dict[str, None] = {}
        self._lock = threading.Lock()
        self.received = 0
        self.dropped = 0

    def put(self, key: str) -> None:
        """Add a key, or drop it when the queue is full."""
        with self._lock:
            self.received += 1
            self._add(key)

    def drain(self, limit: int = KEYS_PER_TICK) -> Sequence[str]:
        """Take the oldest keys."""
        with self._lock:
            keys = list(self._keys)[:limit]
            for key in keys:
                del self._keys[key]
            return keys

    def __len__(self) -> int:
        """How many keys wait."""
        with self._lock:
            return len(self._keys)

    def put_back(self, keys: Iterable[str]) -> None:
        """Keys that a tick could not use yet, behind those that came meanwhile."""
        with self._lock:
            for key in keys:
                self._add(key)

    def _add(self, key: str) -> None:
        if key not in self._keys and len(self._keys) >= self._limit:
            self.dropped += 1
        else:
            self._keys[key] = None


class Listener:
    """Fills ``keys`` from a subscription for as long as the process lives.

    ``subscribe`` yields the keys of events until the subscription ends or raises; it is renewed
    either way.
    """

    def __init__(
        self,
        name: str,
        subscribe: Callable[[], Iterator[str]],
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.keys = KeyQueue()
        self._name = name
        self._subscribe = subscribe
        self._sleep = sleep
        self._failures = 0
        self._last_error: str | None = None
        self._delay = FIRST_DELAY

    def start(self) -> None:
        """Listen in a thread that does not keep the process alive."""
        threading.Thread(target=self._listen, name=f"events-{self._name}", daemon=True).start()

    @property
    def status(self) -> Status:
        """How it goes."""
        return Status(self.keys.received, self.keys.dropped, self._failures, self._last_error)

    @property
    def works(self) -> bool:
        """Whether events have come, and nothing has gone wrong since."""
        return self.keys.received > 0 and self._last_error is None

    def _listen(self) -> None:
        while True:
            self.listen_once()

    def listen_once(self) -> None:
        """One subscription, from its beginning to its end, and the wait after it."""
        try:
            for key in self._subscribe():
                self._delay, self._last_error = FIRST_DELAY, None
                self.keys.put(key)
            error = "the subscription ended"
        except Exception as failure:  # noqa: BLE001 - whatever it is, the scan goes on without us
            error = f"{type(failure).__name__}: {failure}"
        self._failures += 1
        self._last_error = error
        log.warning("events of %s: %s; again in about %.0f s", self._name, error, self._delay)
        self._sleep(self._delay * random.uniform(0.8, 1.2))  # noqa: S311 - not all at once
        self._delay = min(self._delay * 2, LAST_DELAY)


class Listeners:
    """The listeners of this process, one per name: a sensor's ticks share one."""

    def __init__(self) -> None:
        self._by_name: dict[str, Listener] = {}
        self._lock = threading.Lock()

    def get(self, name: str, subscribe: Callable[[], Iterator[str]]) -> Listener:
        """The listener of this name, started if this is the first time it is asked for."""
        with self._lock:
            listener = self._by_name.get(name)
            if listener is None:
                listener = self._by_name[name] = Listener(name, subscribe)
                listener.start()
            return listener


#: Of the process: the code server evaluates all ticks in one.
LISTENERS = Listeners()
