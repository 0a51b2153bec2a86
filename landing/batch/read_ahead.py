"""Reading the objects of a batch side by side, in the batch's order, within bounds.

Belongs here: which objects are under way, and when the next one begins. Does not: what is made of
an object, or rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from landing.arrival.identity import ObjectVersion

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Threads; objects and their bytes that are under way or wait to be asked for.

    An object above ``most_bytes`` is under way alone.
    """

    threads: int
    most_objects: int
    most_bytes: int


class ReadAhead(Generic[Made]):
    """What ``make`` makes of each version, asked for in their order."""

    def __init__(
        self,
        versions: Sequence[ObjectVersion],
        make: Callable[[ObjectVersion], Made],
        bounds: Bounds,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._versions, self._make, self._bounds, self._pool = versions, make, bounds, pool
        self._begun = 0
        self._bytes = 0
        self._ahead: deque[tuple[ObjectVersion, Future[Made]]] = deque()

    def take(self, version: ObjectVersion) -> Made:
        """What was made of the next version, which this must be. Raises what ``make`` raised."""
        self._begin()
        expected, made = self._ahead.popleft()
        if expected != version:
            raise AssertionError(f"{version.uri} was asked for before {expected.uri}")
        try:
            return made.result()
        finally:
            self._bytes -= version.size

    def _begin(self) -> None:
        while self._begun < len(self._versions) and self._has_room():
            version = self._versions[self._begun]
            self._begun += 1
            self._bytes += version.size
            self._ahead.append((version, self._pool.submit(self._make, version)))

    def _has_room(self) -> bool:
        size = self._bytes + self._versions[self._begun].size
        return not self._ahead or (
            len(self._ahead) < self._bounds.most_objects and size <= self._bounds.most_bytes
        )


@contextmanager
def reading_ahead(
    versions: Sequence[ObjectVersion], make: Callable[[ObjectVersion], Made], bounds: Bounds
) -> Iterator[ReadAhead[Made]]:
    """``make`` is called in threads of its own; those under way are waited for at the end."""
    pool = ThreadPoolExecutor(bounds.threads, thread_name_prefix="read-ahead")
    try:
        yield ReadAhead(versions, make, bounds, pool)
    finally:
        # Not the pool's own context: it would first make all that was begun.
        pool.shutdown(wait=True, cancel_futures=True)
