"""Files that were taken down: nothing that is put under their keys is taken any more.

Belongs here: which they are, taking one down, and refusing what they say. Does not: single songs
that are taken down (``formats/takedown.py``), which are a file's word like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.music.bronze.reasons import TAKEN_DOWN

if TYPE_CHECKING:
    import psycopg

    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.counts import ObjectCounts
    from landing.batch.object_reading import Reader, Reading
    from landing.stores.base import ObjectStore
    from resources.postgres import PostgresResource

#: What a file says that says nothing.
NOTHING = b"[]"

_SEEN = """
SELECT FROM landing.object_version WHERE store = 'minio' AND bucket = %s AND key = %s LIMIT 1
"""
_RECORDS = "SELECT count(*) FROM music.record WHERE key >= %(of)s || ':' AND key < %(of)s || ';'"


def taken_down(conn: psycopg.Connection[Any], keys: Sequence[str]) -> dict[str, str]:
    """Those of ``keys`` that were taken down, and why."""
    return dict(
        conn.execute(
            "SELECT key, why FROM music.taken_down WHERE key = ANY(%s)", (list(keys),)
        ).fetchall()
    )


def take_down(conn: psycopg.Connection[Any], raw: ObjectStore, key: str, why: str) -> int | None:
    """Take a file down, and how many records that withdraws; None when nothing has landed as it.

    Its records leave with the batch of a new, empty version. Saying it again is safe.
    """
    from landing.batch.origins import origin_of

    if conn.execute(_SEEN, (raw.bucket, key)).fetchone() is None and raw.stat(key) is None:
        return None
    records = conn.execute(_RECORDS, {"of": origin_of(key)}).fetchone() or (0,)
    # First of all it is remembered: a kill in between is made good by saying it again.
    conn.execute(
        "INSERT INTO music.taken_down (key, why) VALUES (%s, %s)"
        " ON CONFLICT (key) DO UPDATE SET why = excluded.why",
        (key, why),
    )
    conn.commit()
    raw.put(key, NOTHING)
    return int(records[0])


def refusing(read: Reader, pg: PostgresResource) -> Reader:
    """The reader, which rejects what is put under a key that was taken down.

    What says nothing is taken: it is how the file's records are withdrawn.
    """

    def reader(versions: Sequence[ObjectVersion]) -> AbstractContextManager[Reading]:
        with pg.connect() as conn:
            down = taken_down(conn, [version.key for version in versions])
        return _reading(read, versions, down) if down else read(versions)

    return reader


@contextmanager
def _reading(
    read: Reader, versions: Sequence[ObjectVersion], down: Mapping[str, str]
) -> Iterator[Reading]:
    with read(versions) as inner:
        yield _Refusing(inner, down)


@dataclass(frozen=True, slots=True)
class _Refusing:
    inner: Reading
    down: Mapping[str, str]

    def chunks(self, version: ObjectVersion) -> Iterator[Chunk]:
        """See Reading."""
        if version.key in self.down:
            return self._nothing(version)
        return self.inner.chunks(version)

    def save(self, conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts]) -> None:
        """See Reading."""
        self.inner.save(conn, objects)

    def _nothing(self, version: ObjectVersion) -> Iterator[Chunk]:
        from landing.batch.chunks import UnreadableObject

        for chunk in self.inner.chunks(version):
            if len(chunk.accepted) or len(chunk.rejected):
                raise UnreadableObject(TAKEN_DOWN.code, self.down[version.key])
            yield chunk
