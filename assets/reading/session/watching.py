"""A long task in a thread, watched from the run's main thread.

Belongs here: interrupts, regular calls meanwhile, when changes are due to be reported. Does not:
what is served and reported (``assets.py``).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Generic, TypeVar

import dagster as dg

from assets.reading.pacing import LEAST_REPORT_SECONDS

T = TypeVar("T")

#: Changes are reported once nothing has come for so long, or the first of them has waited so long.
QUIET_SECONDS = 3.0
WAIT_SECONDS = 15.0


@dataclass(slots=True)
class Regular:
    """A call every so many seconds, the first of them so many seconds after the start."""

    seconds: float
    call: Callable[[], None]
    due: float = field(default=0.0)


class Interrupted:
    """Whether an interrupt has come; the second one ends the main thread's wait at once."""

    def __init__(self, stopping: threading.Event) -> None:
        self.came = False
        self._stopping = stopping

    def __call__(self, _signal: int, _frame: FrameType | None) -> None:
        """Take a signal: in the main thread, between two of its instructions."""
        if self.came:
            raise dg.DagsterExecutionInterruptedError
        self.came = True
        self._stopping.set()


def watch(serve: Callable[[threading.Event], T], regular: Sequence[Regular]) -> tuple[T, bool]:
    """Run ``serve`` in a thread until it returns; make the regular calls meanwhile.

    ``serve`` is given an event that an interrupt (SIGINT or SIGTERM) sets, as does an error of a
    regular call; it then has to come to an end. Returns what it returned, and whether there was an
    interrupt. Raises what ``serve`` or a regular call raised, and DagsterExecutionInterruptedError
    at a second interrupt, without waiting for ``serve``.
    """
    stopping = threading.Event()
    serving = _Serving(serve, stopping)
    started = time.monotonic()
    for one in regular:
        one.due = started + one.seconds
    with _interrupts(stopping) as interrupted:
        serving.thread.start()
        try:
            while serving.thread.is_alive():
                _call_due(regular, time.monotonic())
                next_due = min((one.due for one in regular), default=started + 1.0)
                serving.thread.join(min(max(next_due - time.monotonic(), 0.01), 1.0))
        except Exception:
            stopping.set()
            serving.thread.join()
            raise
    return serving.result(), interrupted.came


def _call_due(regular: Sequence[Regular], now: float) -> None:
    for one in regular:
        if now >= one.due:
            one.call()
            # A late call does not make the next one early.
            one.due = time.monotonic() + one.seconds


class _Serving(Generic[T]):
    def __init__(self, serve: Callable[[threading.Event], T], stopping: threading.Event) -> None:
        self._serve = serve
        self._stopping = stopping
        self._results: list[T] = []
        self._error: BaseException | None = None
        # A daemon, so that a second interrupt ends the process whatever the thread waits for.
        self.thread = threading.Thread(target=self._run, name="reading session", daemon=True)

    def _run(self) -> None:
        try:
            self._results.append(self._serve(self._stopping))
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]


@contextmanager
def _interrupts(stopping: threading.Event) -> Iterator[Interrupted]:
    """Let interrupts set ``stopping``, where Dagster's own handler would raise at once."""
    interrupted = Interrupted(stopping)
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread gets signals, and only it may say what happens then.
        yield interrupted
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    for one in before:
        signal.signal(one, interrupted)
    try:
        yield interrupted
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


@dataclass(slots=True)
class ReportPacing:
    """When noted changes are due to be reported: soon after a burst, and not every time.

    Seconds of one clock; ``every`` at least are between two reports.
    """

    reported_at: float = float("-inf")
    waiting_since: float | None = None
    every: float = LEAST_REPORT_SECONDS

    def due(self, now: float, quiet: float | None) -> bool:
        """Whether to report now. ``quiet``: seconds since the last change; None when there is none.

        The caller reports, and says so by `reported`.
        """
        if quiet is None:
            self.waiting_since = None
            return False
        if self.waiting_since is None:
            self.waiting_since = now
        if now - self.reported_at < self.every:
            return False
        return quiet >= QUIET_SECONDS or now - self.waiting_since >= WAIT_SECONDS

    def reported(self, now: float) -> None:
        """All that was noted has been reported."""
        self.reported_at, self.waiting_since = now, None
