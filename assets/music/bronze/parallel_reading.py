"""Reading a batch of many small objects in several processes.

Belongs here: when that pays, what such a process does, merging what they read in the batch's order.
Does not: the processes themselves (``assets/frame/worker.py``), reading (``batch_files.py``).

A song's HDF5 file costs some milliseconds of one core: to fetch, to parse and to copy. Processes
of their own, each with every n-th object, use the other cores; they cost half a second to start.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.frame.worker import Worker
from assets.music.bronze.archive import Archive
from assets.music.bronze.batch_files import ArchiveReading, archive_reader
from assets.music.bronze.copies import Copy, KnownCopies, save_copies
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk, UnreadableObject
from landing.batch.object_reading import Reader, Reading
from landing.batch.unavailable import ObjectUnavailable, unavailable
from landing.stores.base import ObjectNotCurrent
from landing.stores.minio import MinioStore
from resources.minio_client import Access

if TYPE_CHECKING:
    import psycopg

    from landing.batch.counts import ObjectCounts

PROCESSES = 2

#: From so many objects on, of at most so many bytes on average, processes pay.
FEWEST_OBJECTS = 200
LARGEST_MEAN = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Task:
    """Objects to read, in order, and those of their copies that are known."""

    access: Access
    raw_bucket: str
    processed_bucket: str
    versions: Sequence[ObjectVersion]
    copies: Mapping[ObjectVersion, Copy]


@dataclass(frozen=True, slots=True)
class Settled:
    """Every object was read, and every copy is there."""


#: An object that was read to its end is followed by its copy, one that was not by why.
Message = Chunk | Copy | UnreadableObject | ObjectNotCurrent | ObjectUnavailable | Settled


def read_task(task: Task) -> Iterator[Message]:
    """In a process of its own: the task's objects one after another, and Settled."""
    from assets.music.bronze.formats.sniffing import read_records

    client = task.access.client()
    archive = Archive(
        MinioStore(client, task.raw_bucket),
        MinioStore(client, task.processed_bucket),
        lambda _versions: task.copies,
    )
    with archive_reader(archive, read_records)(task.versions) as reading:
        for version in task.versions:
            yield from _object(reading, version)
    yield Settled()


def _object(reading: ArchiveReading, version: ObjectVersion) -> Iterator[Message]:
    try:
        yield from reading.chunks(version)
    except (UnreadableObject, ObjectNotCurrent) as error:
        yield error
    except Exception as error:
        told = unavailable(error)
        if told is None:
            raise
        yield told
    else:
        yield reading.made[version.uri]


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
                workers.append(stack.enter_context(Worker(read_task, task)))
            reading = ParallelReading(workers, versions)
            yield reading
            reading.settle()

    return read


class ParallelReading:
    """A batch of which each worker reads every n-th object."""

    def __init__(
        self, workers: Sequence[Worker[Task, Message]], versions: Sequence[ObjectVersion]
    ) -> None:
        self._workers = workers
        self._owner = {
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
