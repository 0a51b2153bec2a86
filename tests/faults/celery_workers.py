"""Celery's workers for images as processes of a test, and a run that can be killed.

Belongs here: starting, finding and killing them. Does not: the broker (``tests.rabbitmq``), any
expectation.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests import processes

_WORKER = "assets.images.processing.worker"


def wait_until(condition: Callable[[], Any], seconds: float) -> Any:
    """The condition's first true value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s"
        time.sleep(0.05)
    return found


@dataclass
class Worker:
    """A Celery worker: its parent, the child that takes turns, and that one's image workers."""

    process: processes.Process[Any]
    log: Path

    def ready(self) -> bool:
        assert self.process.poll() is None, self.told()
        return "ready: shards" in self.told()

    def told(self) -> str:
        return self.log.read_text()

    def tree(self) -> list[psutil.Process]:
        """Itself and all below it."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def child(self) -> psutil.Process:
        """The process in which turns are taken."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def working(self) -> list[psutil.Process]:
        """The processes that make images now."""
        found = []
        with suppress(psutil.NoSuchProcess):
            for one in self.tree():
                with suppress(psutil.NoSuchProcess):
                    if _WORKER in one.cmdline():
                        found.append(one)
        return found

    def kill(self) -> None:
        """The parent, as a machine's supervisor or the kernel does."""
        self.process.kill()
        self.process.wait()


@contextmanager
def workers(folder: Path, count: int = 2) -> Iterator[list[Worker]]:
    """So many workers, ready; all that is left of them ends with the block."""
    started: list[Worker] = []
    try:
        for number in range(count):
            log = folder / f"worker-{number}.log"
            with log.open("w") as out:
                process = processes.start(
                    [
                        processes.BIN / "celery", "-A", "assets.images.scaleout.celery_app",
                        "worker", "-Q", "images", "-c", "1", "-n", f"w{number}@test",
                    ],
                    stdout=out, stderr=processes.STDOUT, cwd=folder,
                )  # fmt: skip
            started.append(Worker(process, log))
        wait_until(lambda: all(one.ready() for one in started), 90)
        yield started
    finally:
        left: list[psutil.Process] = []
        for one in started:
            with suppress(psutil.NoSuchProcess):
                left += one.tree()
        for remaining in left:
            with suppress(psutil.NoSuchProcess):
                remaining.kill()
        for one in started:
            one.process.wait()


def start_run(partition: str, batch: str, folder: Path) -> processes.Process[Any]:
    """A task's run in a process of its own, as a run worker is."""
    code = (
        "import os, sys; from tests.integration.images.landings import Landings;"
        "from assets.images.pipeline import REQUESTS;"
        "Landings(os.environ).run_partition(REQUESTS, sys.argv[1], {'quintet/batch': sys.argv[2]})"
    )
    return processes.start(
        [sys.executable, "-c", code, partition, batch],
        stdout=processes.DEVNULL,
        stderr=processes.DEVNULL,
        env=dict(os.environ),
        cwd=folder,
    )
