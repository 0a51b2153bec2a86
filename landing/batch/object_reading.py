"""How the objects of a batch are read while it is validated.

Belongs here: what validation asks of a reading, and the plain one, object after object. Does not:
formats, or where a pipeline keeps what it has read (its own module).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from landing.arrival.identity import ObjectVersion
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    from landing.batch.chunks import Chunk
    from landing.batch.counts import ObjectCounts

#: Turns an object into chunks. Raises UnreadableObject before its first chunk.
Parse = Callable[[BinaryIO, ObjectVersion], "Iterator[Chunk]"]


class Reading(Protocol):
    """The objects of one batch, asked for in the batch's order."""

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """The object's rows.

        Raises ObjectNotCurrent when it is not there any more and UnreadableObject when it is of
        none of the pipeline's formats, both before the first chunk.
        """
        ...

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Note what is to be known of the objects, in the transaction that saves their outcomes."""
        ...


#: A batch's versions to its reading. What the reading writes is there when the context is left.
Reader = Callable[[Sequence[ObjectVersion]], AbstractContextManager[Reading]]


@dataclass(frozen=True, slots=True)
class StoreReading:
    """Objects read from the bucket in which they landed, one at a time."""

    store: ObjectStore
    parse: Parse

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See :class:`Reading`."""
        with self.store.open(version) as stream:
            yield from self.parse(stream, version)

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Nothing: the ledger says it all."""


@dataclass(frozen=True, slots=True)
class NameReading:
    """Objects whose names say all: none is opened, and one that is gone by now counts, too."""

    parse: Parse

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See :class:`Reading`."""
        return self.parse(io.BytesIO(), version)

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Nothing: the ledger says it all."""


def from_names(parse: Parse) -> Reader:
    """The reader of a pipeline that reads no object, only what it is called."""

    @contextmanager
    def read(_versions: Sequence[ObjectVersion]) -> Iterator[Reading]:
        yield NameReading(parse)

    return read


def from_store(store: ObjectStore, parse: Parse) -> Reader:
    """The reader of a pipeline whose objects stay where they landed."""

    @contextmanager
    def read(_versions: Sequence[ObjectVersion]) -> Iterator[Reading]:
        yield StoreReading(store, parse)

    return read
