"""Objects that are rejected without being read: every process that read them has died.

Belongs here: leaving them out of a reading. Does not: which they are
(``landing/arrival/deadly.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion
from landing.batch.object_reading import Reader, Reading
from landing.batch.reasons import KILLS_PROCESS
from landing.batch.validation_ledger import LedgeredVersion

if TYPE_CHECKING:
    import psycopg

    from landing.batch.chunks import Chunk
    from landing.batch.counts import ObjectCounts


def without_set_aside(read: Reader, versions: Sequence[LedgeredVersion]) -> Reader:
    """The reader, which never sees those of the batch's versions that were set aside."""
    aside = {
        one.version: one.counts.reason.partition(": ")[2]
        for one in versions
        if one.counts.reason and one.counts.reason.startswith(f"{KILLS_PROCESS.code}: ")
    }
    if not aside:
        return read

    @contextmanager
    def reading_the_rest(every: Sequence[ObjectVersion]) -> Iterator[Reading]:
        with read([version for version in every if version not in aside]) as inner:
            yield _Rest(inner, aside)

    return reading_the_rest


@dataclass(frozen=True, slots=True)
class _Rest:
    inner: Reading
    aside: dict[ObjectVersion, str]

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See Reading."""
        from landing.batch.chunks import UnreadableObject

        if version in self.aside:
            raise UnreadableObject(KILLS_PROCESS.code, self.aside[version])
        return self.inner.chunks(version)

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """See Reading."""
        self.inner.save(conn, objects)
