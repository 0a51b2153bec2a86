"""A task's images, worked on until every item has its outcome or somebody cancels it.

Belongs here: from items that wait to outcomes in the ledger, and telling how it gets on. Does not:
what is done to an image (``processing``), other machines (``scaleout``).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assets.images.processing.operation import Outcome
from assets.images.tasks import items, ledger

if TYPE_CHECKING:
    import psycopg

    from assets.images.processing.operation import Item
    from assets.images.tasks.ledger import Task

    Connection = psycopg.Connection[Any]

#: Outcomes in a transaction, and seconds after which fewer will do.
BLOCK = 500
BLOCK_SECONDS = 2.0
#: Seconds between two lines of the log, and between two looks whether somebody cancels.
TELL_SECONDS = 5.0
LOOK_SECONDS = 1.0

#: Tasks with more items than this give way to those with fewer: by so much of niceness.
_NICENESS = ((100_000, 15), (10_000, 10), (1_000, 5))

#: Works on items; asks whether it is to stop.
Process = Callable[["Iterable[Item]", Callable[[], bool]], "Iterator[Outcome]"]


def niceness(waiting: int) -> int:
    """How far a task of so many items gives way: small ones finish while large ones go on."""
    return next((nice for size, nice in _NICENESS if waiting > size), 0)


def workers(told: int) -> int:
    """Processes of one task: what was told, else one per core that this process may use."""
    return told or len(os.sched_getaffinity(0))


@dataclass(slots=True)
class Progress:
    """How a task gets on; ``clock`` gives seconds."""

    total: int
    settled: int
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    done: int = 0

    def __post_init__(self) -> None:
        self.started = self.clock()

    @property
    def rate(self) -> float:
        """Images a second, of this attempt."""
        seconds = self.clock() - self.started
        return self.done / seconds if seconds > 0 else 0.0

    def line(self) -> str:
        """Done of all, rate and time left, in one line."""
        there = self.settled + self.done
        left = (self.total - there) / self.rate if self.rate else float("inf")
        eta = f", about {left:.0f} s left" if left < float("inf") else ""
        return f"{there:,} of {self.total:,} images, {self.rate:.0f} a second{eta}"


def work(
    connection: Connection,
    task: Task,
    process: Process,
    *,
    log: logging.Logger,
    first: int = 1,
    last: int = 2**62,
) -> bool:
    """Work on the items that wait, of these numbers; False when the task is not to go on.

    ``connection`` is in autocommit mode: what a block says is kept whatever happens next. Raises
    what ``process`` does, psycopg.Error.
    """
    progress = Progress(task.items or 0, task.settled)
    block: list[Outcome] = []
    stopping = _Stopping(connection, task)
    flushed = told = time.monotonic()
    waiting = items.waiting(connection, task.task_id, first=first, last=last)
    for outcome in process(waiting, stopping):
        block.append(outcome)
        now = time.monotonic()
        if len(block) >= BLOCK or now - flushed >= BLOCK_SECONDS:
            items.settle(connection, task, block, now - flushed)
            progress.done += len(block)
            block.clear()
            flushed = now
        if now - told >= TELL_SECONDS:
            log.info(progress.line())
            told = now
    items.settle(connection, task, block, time.monotonic() - flushed)
    progress.done += len(block)
    log.info(progress.line())
    return not stopping.found


class _Stopping:
    """Whether the task is not to go on: asked often, looked up once a second."""

    def __init__(self, connection: Connection, task: Task) -> None:
        self._connection, self._task = connection, task
        self._looked = time.monotonic()
        self.found = not ledger.goes_on(connection, task)

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self.found and now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self.found = not ledger.goes_on(self._connection, self._task)
        return self.found
