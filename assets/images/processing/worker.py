"""A worker process: threads that read objects, make images of them, and write those.

Imported by nobody: ``python -m assets.images.processing.worker``, which ``pool.py`` starts. Dagster
is not imported, so that a worker costs 0.2 s and the memory of its images.

Belongs here: one item, and a process that lives no longer than its parent. Does not: which items,
and what follows from a worker's end (``pool.py``).
"""

from __future__ import annotations

import fcntl
import importlib
import os
import resource
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from assets.images.processing import containers, messages
from assets.images.processing.decoding import ImageRefused, printable
from assets.images.processing.messages import Report, Setup
from assets.images.processing.operation import Item, Limits, Operation, Outcome, Status
from assets.images.processing.slots import Slots
from assets.images.processing.store import ObjectMissing, ObjectStore, StoreFailed
from assets.images.processing.transform import Made
from resources.minio_client import Access

#: What does an operation; see transform.transform, which is one.
Function = Callable[[bytes, int, Operation, Limits], Made]

#: Pixels from which images take turns in a worker: three of a hundred million fill a machine.
_LARGE = 16_000_000
#: Bytes of address space: of the process (150 MB) and images that take no turns, and for a pixel of
#: the largest that does (a progressive CMYK JPEG's coefficients and pixels, an RGBA picture twice).
_OWN_MEMORY, _BYTES_PER_PIXEL = 1 << 30, 16
#: Chosen by the kernel before what started it and before servers, out of -1000 to 1000.
_OOM_SCORE = 800
#: Outcomes are sent so many at once, or after so many seconds.
_MOST_HELD, _LONGEST_HELD = 8, 0.1
_BEAT = 0.2
_CONTENT_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}


class Worker:
    """Threads that take items from a queue. Its parent reads the reports."""

    def __init__(self, setup: Setup, slots: Slots, channel: Connection) -> None:
        access = Access(setup.endpoint, setup.access_key, setup.secret_key)
        self._source = ObjectStore(access, setup.source, patience=setup.patience)
        self._target = ObjectStore(access, setup.target, patience=setup.patience)
        self._setup, self._slots, self._channel = setup, slots, channel
        module, _, name = setup.function.partition(":")
        self._function: Function = getattr(importlib.import_module(module), name)
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._turns = threading.Lock()
        self._telling = threading.Lock()
        self._held: list[Outcome] = []
        self._told_at = time.monotonic()
        self._in_flight = 0

    def start(self) -> None:
        """Start the threads, which end with the process."""
        for thread in range(self._setup.threads):
            threading.Thread(target=self._serve, args=(thread,), daemon=True).start()

    def take(self, items: list[Item]) -> None:
        """Add to what is to be done."""
        with self._telling:
            self._in_flight += len(items)
        for item in items:
            self._queue.put(item)

    def _serve(self, thread: int) -> None:
        while True:
            item = self._queue.get()
            self._slots.take(thread, item.number)
            started = time.monotonic()
            try:
                outcome = self._done(item, thread, started)
            except StoreFailed as error:
                self._tell(Report(failure=str(error), lasting=error.lasting))
                continue
            except MemoryError:
                self._slots.clear(thread)
                self._tell(Report(alone=(item.number,)))
                continue
            self._slots.clear(thread)
            self._hold(outcome)

    def _done(self, item: Item, thread: int, started: float) -> Outcome:
        """Raises StoreFailed, MemoryError."""
        limits = self._setup.limits
        try:
            data = self._source.get(item.source, limits.most_bytes)
            with self._turns if containers.pixels(data) > _LARGE else nullcontext():
                self._slots.work(thread, item.number)
                made = self._function(data, item.product_id, self._setup.operation, limits)
        except ObjectMissing as error:
            return _failed(item, "missing", str(error), started)
        except ImageRefused as error:
            return _failed(item, error.status, error.detail, started)
        except (StoreFailed, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001  # a defect met by one image costs that image
            return _failed(item, "crashed", f"{type(error).__name__}: {error}", started)
        self._slots.take(thread, item.number)
        self._target.put(item.target, made.data, self._content_type(made.data))
        return Outcome(
            number=item.number,
            status="ok",
            detail=made.note,
            content=made.content,
            digest=made.digest,
            width=made.width,
            height=made.height,
            bytes=len(made.data),
            seconds=round(time.monotonic() - started, 6),
        )

    def _content_type(self, data: bytes) -> str:
        return _CONTENT_TYPES.get(containers.name_of(data), "application/octet-stream")

    def _hold(self, outcome: Outcome) -> None:
        """Tell it with others: a message each would cost small images a tenth of their rate."""
        with self._telling:
            self._held.append(outcome)
            late = time.monotonic() - self._told_at > _LONGEST_HELD
            if late or len(self._held) >= min(_MOST_HELD, self._in_flight):
                self._send(Report(outcomes=tuple(self._held)))
                self._in_flight -= len(self._held)
                self._held = []
                self._told_at = time.monotonic()

    def _tell(self, report: Report) -> None:
        with self._telling:
            self._send(report)
            self._in_flight -= len(report.alone)

    def _send(self, report: Report) -> None:
        try:
            self._channel.send_bytes(messages.write(report))
        except OSError:  # the parent is gone
            os._exit(0)


def _failed(item: Item, status: Status, detail: str, started: float) -> Outcome:
    seconds = round(time.monotonic() - started, 6)
    return Outcome(item.number, status, printable(detail), seconds=seconds)


def _end_with(life: int) -> None:
    """End when the other end of the pipe is closed, whatever this process is in the middle of.

    The kernel sends SIGIO, which ends a process that has no handler: no thread of Python, which
    one hanging image may keep from running, has a part in it. PR_SET_PDEATHSIG would end it with
    the thread that started it.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    if select.select([life], [], [], 0)[0]:
        os._exit(0)


def _bounded(limits: Limits, niceness: int) -> None:
    """Memory: an allocation too many fails at once, and the kernel takes this process first."""
    if sys.platform == "linux":
        most = _OWN_MEMORY + _BYTES_PER_PIXEL * limits.most_pixels
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        with suppress(OSError):  # a container may forbid it
            Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE), encoding="ascii")
    os.nice(niceness)


def main(channel_at: int, life_at: int, slots_at: int, threads: int) -> None:
    """Serve until the parent closes the channel."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    _end_with(life_at)
    channel, slots = Connection(channel_at), Slots(slots_at, threads)
    try:
        setup = messages.read_setup(channel.recv_bytes())
        _bounded(setup.limits, setup.niceness)
        worker = Worker(setup, slots, channel)
        worker.start()
        while True:
            slots.beat()
            if channel.poll(_BEAT):
                worker.take(messages.read_items(channel.recv_bytes()))
    except (EOFError, ConnectionError):
        os._exit(0)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
