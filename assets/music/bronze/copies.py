"""Which copies of raw objects there are, by their keys and by the database's notes.

Belongs here: where a copy lies, and the table ``music.archived_object``. Does not: making and
reading copies (``archive.py``), and what becomes of the originals (``raw_removals.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    import psycopg

    from landing.batch.counts import ObjectCounts
    from resources.postgres import PostgresResource

_KEY_BYTES = 1_024  # S3's limit
_TOKEN_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Copy:
    """Where a copy lies in the processed bucket; ``sha256`` is hex, of the whole content."""

    key: str
    sha256: str


def copy_key(version: ObjectVersion) -> str:
    """Where the copy of a raw object's version lies: the same whenever it is made.

    ``objects/<key>/<token>``, the token being of the version; a key too long for that is replaced
    by its SHA-256.
    """
    token = hashlib.sha256(version.version.encode()).hexdigest()[:_TOKEN_DIGITS]
    key = f"objects/{version.key}/{token}"
    if len(key.encode()) <= _KEY_BYTES:
        return key
    return f"objects/long-keys/{hashlib.sha256(version.key.encode()).hexdigest()}/{token}"


#: The copies of those versions of raw objects that were archived.
KnownCopies = Callable[[Sequence[ObjectVersion]], Mapping[ObjectVersion, Copy]]


def copies_in(pg: PostgresResource, bucket: str) -> KnownCopies:
    """The copies of objects of the raw bucket ``bucket``, as the database knows them."""

    def known(versions: Sequence[ObjectVersion]) -> Mapping[ObjectVersion, Copy]:
        with pg.connect() as conn:
            rows = conn.execute(
                """
                SELECT v.key, v.version, a.processed_key, a.sha256
                FROM unnest(%s::text[], %s::text[]) AS asked (key, version)
                JOIN landing.object_version v
                    ON v.store = 'minio' AND v.bucket = %s
                    AND v.key = asked.key AND v.version = asked.version
                JOIN music.archived_object a USING (seq)
                """,
                (
                    [version.key for version in versions],
                    [version.version for version in versions],
                    bucket,
                ),
            ).fetchall()
        by_name = {(version.key, version.version): version for version in versions}
        return {by_name[key, version]: Copy(*copy) for key, version, *copy in rows}

    return known


def save_copies(
    conn: psycopg.Connection[Any], objects: Sequence[ObjectCounts], copies: Mapping[str, Copy]
) -> None:
    """Note the copies (by URI) of those objects that were read."""
    read = [(counts.seq, copies[counts.uri]) for counts in objects if counts.outcome == "loaded"]
    conn.execute(
        """
        INSERT INTO music.archived_object AS a (seq, processed_key, sha256)
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[])
        ON CONFLICT (seq) DO NOTHING
        """,
        (
            [seq for seq, _ in read],
            [copy.key for _, copy in read],
            [copy.sha256 for _, copy in read],
        ),
    )
