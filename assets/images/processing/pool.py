"""Worker processes that one image can end, and what that costs: one row.

A pool of our own. pebble, the library that comes closest, was tried at 5.2.3 with two workers: a
worker killed from outside took the whole pool with it in one of 50 cases, and in 5 of 5 where that
happened within half a second of its start (all workers share one pipe and its lock). Its deadlines
are a task's, so those of a chunk and not of an image; its workers import the caller's main module,
which is Dagster's, and have no ear for their parent's end while an image holds them.

Belongs here: who gets which items, ends and deadlines. Does not: a worker's process (``child.py``),
what it does (``worker.py``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from multiprocessing.connection import wait

from assets.images.processing.child import Child
from assets.images.processing.messages import Report, Setup
from assets.images.processing.operation import Item, Outcome
from landing.batch.failures import PermanentError, TransientError

#: Items in a worker's hands at most, and sent to it at once.
AHEAD, _PIECE = 64, 16
#: Seconds between two looks at the deadlines.
_LOOK = 0.25
#: The share of a deadline without a sign of a worker's Python, after which one image must be
#: holding it, so that those beside it can't go on.
_SILENT = 0.75
#: Workers that end one after another before any has told an outcome.
_MOST_STILLBORN = 10


class Pool:
    """Up to ``workers`` processes, started when there is something for them.

    ``close`` ends them, as the end of the process does.
    """

    def __init__(self, setup: Setup, workers: int) -> None:
        self._setup, self._most = setup, workers
        self._children: list[Child] = []
        #: To be done again, through no fault of theirs.
        self._again: deque[Item] = deque()
        #: What ended a worker, or may have: each is done once more, alone.
        self._suspects: deque[Item] = deque()
        self._stillborn = 0

    @property
    def pids(self) -> list[int]:
        """The processes there are now."""
        return [child.pid for child in self._children]

    def outcomes(
        self, items: Iterable[Item], stop: Callable[[], bool] | None = None
    ) -> Generator[Outcome, None, None]:
        """One outcome for each item, in no order; the numbers of the items are unique.

        At most ``AHEAD`` items a worker have been taken and have no outcome yet. Once ``stop`` says
        so no more are taken, and those in the workers' hands are finished. Raises TransientError
        when the store is away, PermanentError when it refuses or no worker starts.
        """
        source = iter(items)
        try:
            while True:
                if stop is not None and stop():
                    source = iter(())
                    self._again.clear()
                    self._suspects.clear()
                self._feed(source)
                if not any(child.held for child in self._children):
                    return
                yield from self._told()
                yield from self._overdue()
        finally:
            self.close()

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        for child in self._children:
            child.kill()
            child.close()
        self._children.clear()

    def _feed(self, source: Iterator[Item]) -> None:
        self._feed_suspects()
        # As many workers as there are suspects take nothing, so that they come free.
        free = sorted(self._children, key=lambda child: len(child.held))[len(self._suspects) :]
        free = [child for child in free if not child.alone]
        while piece := self._piece(source, free):
            least = min(free, key=lambda child: len(child.held), default=None)
            if (least is None or least.held) and len(self._children) < self._most:
                least = self._started()
                free.append(least)
            if least is not None:
                least.send(piece)

    def _feed_suspects(self) -> None:
        while self._suspects:
            child = next((child for child in self._children if not child.held), None)
            if child is None and len(self._children) < self._most:
                child = self._started()
            if child is None:
                return
            child.alone = True
            child.send([self._suspects.popleft()])

    def _started(self) -> Child:
        child = Child(self._setup)
        self._children.append(child)
        return child

    def _piece(self, source: Iterator[Item], free: list[Child]) -> list[Item]:
        """The next items, if one of the free workers or a new one has room for them."""
        room = any(len(child.held) <= AHEAD - _PIECE for child in free)
        if not room and len(self._children) >= self._most:
            return []
        again = [self._again.popleft() for _ in range(min(_PIECE, len(self._again)))]
        return [*again, *islice(source, _PIECE - len(again))]

    def _told(self) -> Iterator[Outcome]:
        by_channel = {child.channel: child for child in self._children}
        for channel in wait(list(by_channel), _LOOK):
            child = by_channel[channel]  # type: ignore[index]  # a connection, as was given
            try:
                report = child.receive()
            except (EOFError, OSError):
                yield from self._bury(child)
            else:
                yield from self._settle(child, report)

    def _settle(self, child: Child, report: Report) -> Iterator[Outcome]:
        for outcome in report.outcomes:
            if child.held.pop(outcome.number, None):
                self._stillborn = 0
                yield outcome
        for number in report.alone:
            item = child.held.pop(number, None)
            if item and child.alone:
                yield Outcome(number, "too_large", "does not fit into memory")
            elif item:
                self._suspects.append(item)
        child.alone = child.alone and bool(child.held)
        if report.failure:
            raise (PermanentError if report.lasting else TransientError)(report.failure)

    def _overdue(self) -> Iterator[Outcome]:
        for child in list(self._children):
            late = child.late(self._setup.limits.seconds)
            if not late:
                continue
            if child.silent() > _SILENT * self._setup.limits.seconds and not child.alone:
                # One of those at work keeps the others from it: which shows when each is alone.
                yield from self._bury(child)
            else:
                yield from self._bury(child, frozenset(one.number for one in late))

    def _bury(self, child: Child, late: frozenset[int] = frozenset()) -> Iterator[Outcome]:
        """End a worker that has ended or is to; ``late`` are the items that it ends for."""
        ended = child.kill()
        self._children.remove(child)
        told = [outcome for report in child.last_reports() for outcome in report.outcomes]
        busy = child.busy()
        # In the hands of the store's client nothing of an image has been read yet.
        blamed = {one.number for one in busy if one.since} or {one.number for one in busy}
        alone = child.alone
        child.close()
        self._count(told, blamed, ended)
        for outcome in told:
            if child.held.pop(outcome.number, None):
                yield outcome
        for item in child.held.values():
            if item.number in late:
                seconds = self._setup.limits.seconds
                yield Outcome(item.number, "timeout", f"longer than {seconds:g} s", seconds=seconds)
            elif late or item.number not in blamed:
                self._again.append(item)
            elif alone:
                yield Outcome(item.number, "crashed", f"its worker ended: {ended}")
            else:
                self._suspects.append(item)

    def _count(self, told: list[Outcome], blamed: set[int], ended: str) -> None:
        """Raises PermanentError when workers end before they do anything."""
        self._stillborn = 0 if told or blamed else self._stillborn + 1
        if self._stillborn >= _MOST_STILLBORN:
            raise PermanentError(f"workers end before they work: {ended}")
