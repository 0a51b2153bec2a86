"""What each thread of a worker is at, in memory that outlives the worker.

Belongs here: the record of a thread. Does not: what follows from it (``pool.py``).
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import time
from dataclasses import dataclass

#: Number of the item counted from 1, 0 for none; when its work began (monotonic seconds, the same
#: clock in all processes), 0.0 while it waits for the store or for its turn.
_RECORD = struct.Struct("qd")


@dataclass(frozen=True, slots=True)
class Busy:
    """An item in a thread's hands, and since when it is worked on; None while it waits."""

    number: int
    since: float | None


class Slots:
    """Records of ``threads`` threads. One process writes, each thread its own; another reads."""

    def __init__(self, descriptor: int, threads: int) -> None:
        self._threads = threads
        self._memory = mmap.mmap(descriptor, (threads + 1) * _RECORD.size)

    @staticmethod
    def file(threads: int) -> int:
        """The descriptor of memory for them, to be handed to a worker."""
        with tempfile.TemporaryFile() as made:
            made.truncate((threads + 1) * _RECORD.size)
            return os.dup(made.fileno())

    def take(self, thread: int, number: int) -> None:
        """The thread has an item, and waits."""
        _RECORD.pack_into(self._memory, thread * _RECORD.size, number + 1, 0.0)

    def work(self, thread: int, number: int) -> None:
        """The thread works on it from now."""
        _RECORD.pack_into(self._memory, thread * _RECORD.size, number + 1, time.monotonic())

    def clear(self, thread: int) -> None:
        """The thread has none."""
        _RECORD.pack_into(self._memory, thread * _RECORD.size, 0, 0.0)

    def busy(self) -> list[Busy]:
        """What the threads have in hand."""
        records = (
            _RECORD.unpack_from(self._memory, t * _RECORD.size) for t in range(self._threads)
        )
        return [Busy(number - 1, since or None) for number, since in records if number]

    def beat(self) -> None:
        """The worker's Python runs."""
        _RECORD.pack_into(self._memory, self._threads * _RECORD.size, 0, time.monotonic())

    def silent(self) -> float:
        """Seconds since the last beat: many when one thread keeps all others from running."""
        _, last = _RECORD.unpack_from(self._memory, self._threads * _RECORD.size)
        return time.monotonic() - float(last)

    def close(self) -> None:
        """Give the memory back."""
        self._memory.close()
