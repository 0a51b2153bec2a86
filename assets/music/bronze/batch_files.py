"""A batch of music's objects on its way through the parser: fetched ahead, archived behind.

Belongs here: what is in flight at any time, and that copies are there before the batch is decided.
Does not: one object and its copy (``archive.py``), or formats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from assets.music.bronze.archive import Archive, Held
from assets.music.bronze.copies import Copy, save_copies
from landing.arrival.identity import ObjectVersion
from landing.batch.object_reading import Parse

if TYPE_CHECKING:
    import psycopg

    from landing.batch.chunks import Chunk
    from landing.batch.counts import ObjectCounts

#: Requests in flight while a batch is read.
REQUESTS = 8
#: Objects, and about so many bytes of them, that are held ready or wait to be archived.
AHEAD_OBJECTS = 32
AHEAD_BYTES = 48 * 1024 * 1024


def archive_reader(
    archive: Archive, parse: Parse
) -> Callable[[Sequence[ObjectVersion]], AbstractContextManager[ArchiveReading]]:
    """Reads a batch's objects through the archive, several ahead of the parser."""

    @contextmanager
    def read(versions: Sequence[ObjectVersion]) -> Iterator[ArchiveReading]:
        copies = archive.copies(versions)
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="archive") as pool:
            reading = ArchiveReading(archive, parse, pool, versions, copies)
            try:
                yield reading
                reading.settle()
            finally:
                reading.abandon()

    return read


class ArchiveReading:
    """One batch: contents fetched ahead and copies written behind, by ``pool``."""

    def __init__(
        self,
        archive: Archive,
        parse: Parse,
        pool: ThreadPoolExecutor,
        versions: Sequence[ObjectVersion],
        copies: Mapping[ObjectVersion, Copy],
    ) -> None:
        self._archive = archive
        self._parse = parse
        self._pool = pool
        self._coming = Window(
            pool, versions, lambda version: archive.fetch(version, copies.get(version))
        )
        self._going: deque[tuple[Future[None], Held]] = deque()
        self._going_bytes = 0
        #: Copies of what was read, by URI; there for certain once the reading is settled.
        self.made: dict[str, Copy] = {}

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See object_reading.Reading; the object is archived once it was parsed to its end."""
        held = self._coming.take(version)
        try:
            with held.content.open() as stream:
                yield from self._parse(stream, version)
        except BaseException:
            held.content.release()
            raise
        self.made[version.uri] = self._archive.copy_of(held)
        if held.kept:
            held.content.release()
            return
        self._going.append((self._pool.submit(self._archive.keep, held), held))
        self._going_bytes += held.content.size
        while len(self._going) > AHEAD_OBJECTS or (
            self._going_bytes > AHEAD_BYTES and len(self._going) > 1
        ):
            self._await_copy()

    def settle(self) -> None:
        """Wait until every copy is there. Raises what the store raised."""
        while self._going:
            self._await_copy()

    def abandon(self) -> None:
        """Let go of what nobody will ask for any more."""
        self._coming.close()
        for future, held in self._going:
            future.cancel()
            if future.cancelled():
                held.content.release()
        self._going.clear()

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """Note the copies of the objects that were read."""
        save_copies(conn, objects, self.made)

    def _await_copy(self) -> None:
        future, held = self._going.popleft()
        self._going_bytes -= held.content.size
        future.result()


class Window:
    """Contents on their way, in order: so many objects ahead, and about so many bytes."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        versions: Sequence[ObjectVersion],
        fetch: Callable[[ObjectVersion], Held],
    ) -> None:
        self._pool = pool
        self._fetch = fetch
        self._waiting = deque(versions)
        self._coming: deque[tuple[ObjectVersion, Future[Held]]] = deque()
        self._bytes = 0

    def take(self, version: ObjectVersion) -> Held:
        """The content of the next object, which is ``version``. Raises as Archive.open."""
        self._fill()
        coming, future = self._coming.popleft()
        if coming != version:
            raise AssertionError(f"{version.uri} was asked for, {coming.uri} is next")
        self._bytes -= coming.size
        return future.result()

    def close(self) -> None:
        """Fetch no more, and let go of what came."""
        self._waiting.clear()
        for _, future in self._coming:
            if not future.cancel():
                future.add_done_callback(_let_go)
        self._coming.clear()

    def _fill(self) -> None:
        while self._waiting and len(self._coming) < AHEAD_OBJECTS:
            version = self._waiting[0]
            if self._coming and self._bytes + version.size > AHEAD_BYTES:
                return
            self._waiting.popleft()
            self._coming.append((version, self._pool.submit(self._fetch, version)))
            self._bytes += version.size


def _let_go(future: Future[Held]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().content.release()
