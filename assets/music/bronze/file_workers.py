"""Reading a batch of many small objects in several processes.

Belongs here: when that pays, starting the processes, merging what they read in the batch's order.
Does not: what such a process does (``file_worker.py``).

A song's HDF5 file costs some milliseconds of one core: to fetch, to parse and to copy. Processes
of their own, each with every n-th object, use the other cores; they cost half a second to start.
Imported lazily: needs polars.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from assets.music.bronze.copies import Copy, KnownCopies, save_copies
from assets.music.bronze.file_worker import Failed, Message, Settled, Task
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk
from landing.batch.failures import PermanentError, TransientError
from landing.batch.object_reading import Reader, Reading

if TYPE_CHECKING:
    import psycopg

    from landing.batch.counts import ObjectCounts
    from resources.minio_client import Access

PROCESSES = 2

#: From so many objects on, of at most so many bytes on average, processes pay.
FEWEST_OBJECTS = 200
LARGEST_MEAN = 1024 * 1024

#: Not ``-m``: what is pickled as ``__main__`` means nothing to the other process.
_PROGRAM = "from assets.music.bronze.file_worker import main; main()"
_END_SECONDS = 10.0


def pays(versions: Sequence[ObjectVersion]) -> bool:
    """Whether these objects are many and small."""
    total = sum(version.size for version in versions)
    return len(versions) >= FEWEST_OBJECTS and total <= LARGEST_MEAN * len(versions)


def parallel_reader(
    access: Access, raw_bucket: str, processed_bucket: str, copies: KnownCopies
) -> Reader:
    """Reads a batch's objects through the archive, in PROCESSES processes."""

    @contextmanager
    def read(versions: Sequence[ObjectVersion]) -> Iterator[Reading]:
        known = copies(versions)
        with ExitStack() as stack:
            workers = []
            for number in range(PROCESSES):
                own = versions[number::PROCESSES]
                of_own = {version: known[version] for version in own if version in known}
                task = Task(access, raw_bucket, processed_bucket, own, of_own)
                workers.append(stack.enter_context(Worker(task)))
            reading = ParallelReading(workers, versions)
            yield reading
            reading.settle()

    return read


class Worker:
    """A process that works on a task; use as a context manager, which ends it."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __enter__(self) -> Self:
        """Start it, with one thread for polars: the other cores have their own process."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "POLARS_MAX_THREADS": "1",
        }
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a constant
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError
        self._answers = self._process.stdout
        pickle.dump(self._task, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()  # which ends it
        self._answers.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def next(self) -> Message:
        """The next answer. Raises TransientError when the process ended without it."""
        try:
            message: Message = pickle.load(self._answers)  # noqa: S301 - our own process
        except (EOFError, pickle.UnpicklingError) as error:
            status = self._process.wait(_END_SECONDS)
            raise TransientError(f"a reading process ended with status {status}") from error
        if isinstance(message, Failed):
            kind = PermanentError if message.failure == "permanent" else TransientError
            raise kind(message.error)
        return message


class ParallelReading:
    """A batch of which each worker reads every n-th object."""

    def __init__(self, workers: Sequence[Worker], versions: Sequence[ObjectVersion]) -> None:
        self._workers = workers
        self._owner: Mapping[ObjectVersion, Worker] = {
            version: workers[number % len(workers)] for number, version in enumerate(versions)
        }
        self._made: dict[str, Copy] = {}

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See landing.batch.object_reading.Reading; objects are asked for in the batch's order."""
        worker = self._owner[version]
        while isinstance(message := worker.next(), Chunk):
            yield message
        match message:
            case Copy():
                self._made[version.uri] = message
            case Exception():
                raise message
            case _:
                raise AssertionError(f"{message} is no answer for {version.uri}")

    def settle(self) -> None:
        """Wait until every copy is there. Raises TransientError and PermanentError."""
        for worker in self._workers:
            if (message := worker.next()) != Settled():
                raise AssertionError(f"{message} after the last object")

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Note the copies of the objects that were read."""
        save_copies(conn, objects, self._made)
