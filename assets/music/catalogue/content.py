"""What a file holds, wherever it lies by now, and what is known of its name before it is put.

Belongs here: finding the bytes: in the raw bucket, or in their copy. Does not: what became of a
file's rows (``files.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.music.bronze.taken_down import taken_down
from assets.music.catalogue.files import UnknownFileError

if TYPE_CHECKING:
    import psycopg

    from landing.arrival.identity import ObjectVersion
    from landing.stores.base import ObjectStore

_COPY = """
SELECT a.processed_key, v.version
FROM landing.object_version v JOIN music.archived_object a USING (seq)
WHERE v.store = 'minio' AND v.bucket = %s AND v.key = %s
ORDER BY v.seq DESC LIMIT 1
"""
_LOADED = """
SELECT rows_read > 0 FROM landing.object_version
WHERE store = 'minio' AND bucket = %s AND key = %s AND outcome = 'loaded'
ORDER BY seq DESC LIMIT 1
"""


class FileTakenDownError(LookupError):
    """An operator took the file down."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """Where the bytes of a file's version lie: ``lies`` in ``store``.

    ``version`` is the raw bucket's, the same after the file has moved.
    """

    store: ObjectStore
    lies: ObjectVersion
    version: str


def content(
    connection: psycopg.Connection[Any], raw: ObjectStore, processed: ObjectStore, name: str
) -> FileContent:
    """The file that lies in raw, else the copy of the version that was accepted last.

    Raises UnknownFileError, FileTakenDownError.
    """
    why = taken_down(connection, [name]).get(name)
    if why is not None:
        raise FileTakenDownError(f"{name!r} was taken down: {why}")
    current = raw.stat(name)
    if current is not None:
        return FileContent(raw, current, current.version)
    row = connection.execute(_COPY, (raw.bucket, name)).fetchone()
    copy = processed.stat(row[0]) if row else None
    if row is None or copy is None:
        raise UnknownFileError(f"no file {name!r} lies in the raw bucket or among the copies")
    return FileContent(processed, copy, row[1])


def name_is(
    connection: psycopg.Connection[Any], raw: ObjectStore, name: str
) -> Literal["free", "taken_down", "there"]:
    """Whether a file may be put under the name without replacing what one said.

    ``there``: it lies in raw, or what was loaded of it last says something.
    """
    if taken_down(connection, [name]):
        return "taken_down"
    loaded = connection.execute(_LOADED, (raw.bucket, name)).fetchone()
    return "there" if (loaded and loaded[0]) or raw.stat(name) else "free"
