"""Celery's workers for images as processes of a test, and a run that can be killed.

Belongs here: starting, finding and killing them. Does not: the broker (``tests.rabbitmq``), any
expectation. Workers are forked where Celery is imported, and do what its command does; that they
start by the command is shown with ``by_command``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests import processes
from tests.forks import Fork, forked

_WORKER = "assets.images.processing.worker"
_APP = "assets.images.scaleout.celery_app"


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

    process: processes.Process[Any] | Fork
    told: Callable[[], str]

    def ready(self) -> bool:
        assert self.process.poll() is None, self.told()
        return "ready: shards" in self.told()

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
def workers(folder: Path, count: int = 2, *, by_command: bool = False) -> Iterator[list[Worker]]:
    """So many workers, ready; all that is left of them ends with the block."""
    with ExitStack() as cleanup:
        started: list[Worker] = []
        for number in range(count):
            words = ["-A", _APP, "worker", "-Q", "images", "-c", "1", "-n", f"w{number}@test"]
            if by_command:
                one = _commanded(words, folder / f"worker-{number}.log")
            else:
                fork = cleanup.enter_context(forked(_serve, words, cwd=folder))
                one = Worker(fork, fork.output)
            cleanup.callback(_end, one)
            started.append(one)
        wait_until(lambda: all(worker.ready() for worker in started), 90)
        yield started


def _commanded(words: list[str], log: Path) -> Worker:
    with log.open("w") as out:
        command: list[str | Path] = [processes.BIN / "celery", *words]
        process = processes.start(command, stdout=out, stderr=processes.STDOUT, cwd=log.parent)
    return Worker(process, log.read_text)


def _serve(words: list[str]) -> None:
    """As the command does."""
    from celery.__main__ import main

    sys.argv = ["celery", *words]
    main()


def _end(worker: Worker) -> None:
    left: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        left = worker.tree()
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    worker.process.wait()


def run_beside(partition: str, batch: str) -> AbstractContextManager[Fork]:
    """A task's run in a process of its own, as a run worker is."""
    return forked(_run, partition, batch)


def _run(partition: str, batch: str) -> None:
    from assets.images.pipeline import REQUESTS
    from tests.integration.images.landings import Landings

    Landings(os.environ).run_partition(REQUESTS, partition, {"quintet/batch": batch})
