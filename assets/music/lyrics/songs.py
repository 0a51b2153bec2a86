"""``music.song_lyrics``: which songs are to be asked for, and what the service said of them.

Belongs here: the table's statements. Does not: asking, and lyrics that files bring (silver).

Every song of ``fact_song`` that a batch touched has a row. One is due while it is pending, or
failed and its ``next_attempt_at`` has come. A song without title or artist can't be asked for: it
stays pending, with ``no title`` or ``no artist`` as its error, until a file names it. What the
service was asked is kept in ``source_record`` as ``service:`` and a digest of artist and title:
when one of them changes, what the service said is about another song, and is asked again. So is
what it said long ago: services lose rights, and mend texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.music.lyrics.retry_policy import State
from assets.sinks.result import SAMPLE, Verification

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_SQL = Path(__file__).parent / "sql"
_OF_BATCH = re.compile(r"/\* of a batch: (.*?) \*/", re.DOTALL)

_PREPARATION = ("song_of_artists", "song_rows", "song_renamed", "song_nameless", "song_named")


@dataclass(frozen=True, slots=True)
class Song:
    """A song to ask for; ``mark`` says what is asked, for ``source_record``.

    ``again``: its lyrics are there, and old.
    """

    key: str
    attempts: int
    artist: str
    title: str
    mark: str
    again: bool = False


@cache
def statement(name: str, *, of_batch: bool = False) -> str:
    """A statement of ``sql/``, narrowed to a batch where its file says how."""
    text = (_SQL / f"{name}.sql").read_text(encoding="utf-8")
    return _OF_BATCH.sub(r"\1" if of_batch else "", text)


def prepare(conn: Connection, batch_id: str, now: datetime) -> None:
    """Give every touched song its row, which says whether it can be asked for."""
    given = {"batch": batch_id, "now": now}
    for name in _PREPARATION:
        conn.execute(statement(name), given)


def due(conn: Connection, now: datetime, *, limit: int, batch_id: str | None = None) -> list[Song]:
    """Songs to ask for, the longest due first: of the batch's touched ones, or of all."""
    given = {"now": now, "limit": limit, "batch": batch_id}
    return [
        Song(*row)
        for row in conn.execute(statement("song_due", of_batch=batch_id is not None), given)
    ]


def aged(conn: Connection, now: datetime, *, days: int, limit: int) -> list[Song]:
    """Songs of whose lyrics the service is asked again after ``days``, the oldest first."""
    given = {"now": now, "days": days, "limit": limit}
    return [Song(*row) for row in conn.execute(statement("song_aged"), given)]


def store(
    conn: Connection, answered: Sequence[tuple[Song, State]], now: datetime, *, note: bool
) -> int:
    """Store the states; the number of songs that took theirs.

    A row that is found or missing by now, say from a file, stays as it is; of a song that is asked
    ``again``, one that is not the service's. With ``note`` a song whose status or text changes is
    noted in ``music.lyrics_changed``.
    """
    row = conn.execute(
        statement("song_store"),
        {
            "now": now,
            "note": note,
            "keys": [song.key for song, _ in answered],
            "marks": [song.mark for song, _ in answered],
            "again": [song.again for song, _ in answered],
            "statuses": [state.status for _, state in answered],
            "texts": [state.text for _, state in answered],
            "attempts": [state.attempts for _, state in answered],
            "errors": [state.error for _, state in answered],
            "next": [state.next_attempt_at for _, state in answered],
        },
    ).fetchone()
    return int(row[0]) if row else 0


def reset_missing(conn: Connection, now: datetime) -> int:
    """Have songs that the service has no lyrics of asked for again; their number."""
    return conn.execute(statement("song_reset"), {"now": now}).rowcount


def statuses(conn: Connection, batch_id: str) -> dict[str, int]:
    """Songs that the batch touched, by status."""
    counted = {"found": 0, "missing": 0, "failed": 0, "pending": 0}
    counted.update(conn.execute(statement("song_statuses"), {"batch": batch_id}).fetchall())
    return counted


def verify(conn: Connection, batch_id: str) -> Verification:
    """Every touched song has a row, and every row is decided, due, or says why it can't be."""
    row = conn.execute(statement("song_verify"), {"batch": batch_id, "sample": SAMPLE}).fetchone()
    expected, missing, differing, sample = row or (0, 0, 0, [])
    return Verification(expected, missing, differing, 0, tuple(sample))
