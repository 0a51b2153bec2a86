"""A process that reads some of a batch's objects for another one.

Belongs here: what that process does, and how the two talk. Does not: starting it
(``file_workers.py``), reading (``batch_files.py``).

It is given one Task on its standard input and answers with the messages below, pickled, on its
standard output: for every object its rows and then what came of it, in the task's order, and
Settled once all copies are there. Both ends are this code, started by the same user.
Imported lazily: needs polars.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from assets.music.bronze.archive import Archive
from assets.music.bronze.batch_files import ArchiveReading, archive_reader
from assets.music.bronze.copies import Copy
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk, UnreadableObject
from landing.batch.failures import FailureClass, classify
from landing.stores.base import ObjectNotCurrent
from landing.stores.minio import MinioStore
from resources.minio_client import Access


@dataclass(frozen=True, slots=True)
class Task:
    """Objects to read, in order, and those of their copies that are known."""

    access: Access
    raw_bucket: str
    processed_bucket: str
    versions: Sequence[ObjectVersion]
    copies: Mapping[ObjectVersion, Copy]


@dataclass(frozen=True, slots=True)
class Failed:
    """Reading cannot go on."""

    failure: FailureClass
    error: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Every object was read, and every copy is there."""


#: An object that was read to its end is followed by its copy, one that was not by why.
Message = Chunk | Copy | UnreadableObject | ObjectNotCurrent | Failed | Settled


def answers(task: Task) -> Iterator[Message]:
    """Read the task's objects."""
    from assets.music.bronze.formats.sniffing import read_records

    client = task.access.client()
    archive = Archive(
        MinioStore(client, task.raw_bucket),
        MinioStore(client, task.processed_bucket),
        lambda _versions: task.copies,
    )
    try:
        with archive_reader(archive, read_records)(task.versions) as reading:
            for version in task.versions:
                yield from _object(reading, version)
    except Exception as error:  # noqa: BLE001 - the other process raises it
        yield Failed(classify(error), f"{type(error).__name__}: {error}")
    else:
        yield Settled()


def _object(reading: ArchiveReading, version: ObjectVersion) -> Iterator[Message]:
    begun = False
    try:
        for chunk in reading.chunks(version):
            begun = True
            yield chunk
    except (UnreadableObject, ObjectNotCurrent) as error:
        if begun:
            raise
        yield error
    else:
        yield reading.made[version.uri]


def main() -> None:
    """Answer the task on standard input; end when whoever asked is gone."""
    out: IO[bytes] = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not be in between
    task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    for message in answers(task):
        pickle.dump(message, out, pickle.HIGHEST_PROTOCOL)
        out.flush()


def _end_with(stdin: Any) -> None:
    """End at once when the pipe is closed: the process at its other end has died."""
    stdin.read()
    os._exit(1)
