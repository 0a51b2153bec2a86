"""Files of music: where each stands, from the ledger.

Belongs here: what became of every version that was seen in the raw bucket. Does not: reading files
(``bronze``), rejected rows themselves (``landing/batch/rejected_rows.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from landing.arrival.states import LOADED
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: ``waiting`` for a batch; ``in_batch`` that is not loaded yet; ``failed``: its batch waits for an
#: operator; ``loaded``; ``loaded_with_rejects``; ``rejected`` as a whole; ``superseded`` by a newer
#: version before it was read; ``gone`` before it was read; ``taken_down`` by an operator.
FileState = Literal[
    "waiting", "in_batch", "failed", "loaded", "loaded_with_rejects", "rejected", "superseded",
    "gone", "taken_down",
]  # fmt: skip

SOURCE = "music_minio"
_VERSIONS = 100


class UnknownFileError(LookupError):
    """No file of this name was seen."""


@dataclass(frozen=True, slots=True)
class MusicFile:
    """A version of a file, what became of it, and of its rows.

    ``newest`` is the version that came last under its name. ``rows_refused`` are those that a sink
    refuses. ``in_raw`` says whether it lies in the
    raw bucket still, as far as the pipeline knows; None before it was read.
    """

    number: int
    name: str
    version: str
    newest: bool
    state: FileState
    reason: str | None
    size: int
    modified_at: datetime
    seen_at: datetime
    batch_id: str | None
    batch_state: str | None
    rows_read: int | None
    rows_written: int | None
    rows_unchanged: int | None
    rows_superseded: int | None
    rows_rejected: int | None
    rows_refused: int
    in_raw: bool | None


@dataclass(frozen=True, slots=True)
class FileStatus:
    """Where a file stands: the state of the version that came last, and the last 100 of all."""

    name: str
    state: FileState
    versions: Sequence[MusicFile]


_LOADED = ", ".join(f"'{state}'" for state in sorted(LOADED))
_FILES = f"""
SELECT v.seq AS number, v.key AS name, v.version,
    NOT EXISTS (SELECT FROM landing.object_version n
        WHERE n.store = v.store AND n.bucket = v.bucket AND n.key = v.key AND n.seq > v.seq)
        AS newest,
    CASE
        WHEN t.key IS NOT NULL AND v.outcome IN ('loaded', 'rejected') THEN 'taken_down'
        WHEN v.outcome IN ('rejected', 'superseded', 'gone') THEN v.outcome
        WHEN v.batch_id IS NULL THEN 'waiting'
        WHEN b.state = 'failed_permanent' THEN 'failed'
        WHEN v.outcome IS NULL OR b.state NOT IN ({_LOADED}) THEN 'in_batch'
        WHEN v.rows_rejected > 0 THEN 'loaded_with_rejects'
        ELSE 'loaded'
    END AS state,
    coalesce(t.why, v.reason) AS reason, v.size, v.modified_at, v.seen_at, v.batch_id,
    b.state AS batch_state, v.rows_read, v.rows_written, v.rows_unchanged, v.rows_superseded,
    v.rows_rejected,
    (SELECT count(*) FROM landing.refused_row r WHERE r.batch_id = v.batch_id
        AND r.source = v.store || '://' || v.bucket || '/' || v.key || '#' || v.version)
        AS rows_refused,
    CASE WHEN a.seq IS NOT NULL THEN a.removal IS NULL END AS in_raw
FROM landing.object_version AS v LEFT JOIN landing.batch AS b USING (batch_id)
LEFT JOIN music.archived_object AS a ON a.seq = v.seq
LEFT JOIN music.taken_down AS t ON t.key = v.key
"""
_NEWEST_FIRST = (By("number", "bigint", descending=True),)


def files(
    state: FileState | None = None, *, prefix: str | None = None, batch_id: str | None = None
) -> Listing[MusicFile]:
    """Every version that was seen, those that came last before others.

    ``prefix`` is what names begin with.
    """
    inner, bound = where(
        {
            "v.source = {}": SOURCE,
            'starts_with(v.key, {} COLLATE "C")': prefix,
            "v.batch_id = {}": batch_id,
        }
    )
    query = f"{_FILES} {inner}"
    if state is not None:
        query = f"SELECT * FROM ({query}) AS file WHERE state = %(state)s"
        bound["state"] = state
    return Listing(MusicFile, query, _NEWEST_FIRST, bound)


def file(connection: Connection, bucket: str, name: str) -> FileStatus:
    """Where a file of the raw bucket stands. Raises UnknownFileError."""
    filters, bound = where(
        {
            "v.store = {}": "minio",
            "v.bucket = {}": bucket,
            "v.key = {}": name,
            "v.source = {}": SOURCE,
        }
    )
    found = Listing(MusicFile, f"{_FILES} {filters}", _NEWEST_FIRST, bound)
    versions = found.page(connection, _VERSIONS).rows
    if not versions:
        raise UnknownFileError(f"no file {name!r} was seen in the raw bucket")
    return FileStatus(name, versions[0].state, versions)
