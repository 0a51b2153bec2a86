"""``music.artist_genre_lookup``: genres of artists whose songs have none in any file.

Belongs here: the table's statements, and noting the songs that got a genre. Does not: asking, and
which genre a song has (silver).

The table is the truth: a song's genre is the looked-up one of its first artist exactly as long as
no file gives one, and its provenance then says ``musicbrainz:<artist key>``; silver keeps to that
when it computes the song again. Genres are kept normalised, as ``dim_genre.genre_key`` is. An
artist without name and MBID stays pending without a next attempt; one that was not found by name
is asked for again once a file brings the MBID.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.music.lyrics.retry_policy import State
from assets.music.lyrics.songs import statement

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist to ask for, by MBID where there is one."""

    key: str
    attempts: int
    name: str | None
    mbid: str | None


def prepare(conn: Connection, batch_id: str, now: datetime) -> None:
    """Give touched artists with songs without a genre a row, and a time to be asked."""
    given = {"batch": batch_id, "now": now}
    for name in ("artist_rows", "artist_identified"):
        conn.execute(statement(name), given)


def due(
    conn: Connection, now: datetime, *, limit: int, batch_id: str | None = None
) -> list[Artist]:
    """Artists to ask for whose songs still lack a genre, the longest due first."""
    given = {"now": now, "limit": limit, "batch": batch_id}
    return [
        Artist(*row)
        for row in conn.execute(statement("artist_due", of_batch=batch_id is not None), given)
    ]


def store(conn: Connection, answered: Sequence[tuple[Artist, State]], now: datetime) -> int:
    """Store the states; the number of rows. Songs get their genres by ``apply_genres``."""
    from assets.music.bronze.records import normalised

    states = [_kept(artist, state) for artist, state in answered]
    cursor = conn.execute(
        statement("artist_store"),
        {
            "now": now,
            "keys": [artist.key for artist, _ in answered],
            "statuses": [state.status for state in states],
            "genres": [normalised(state.text) or None for state in states],
            "attempts": [state.attempts for state in states],
            "errors": [state.error for state in states],
            "next": [state.next_attempt_at for state in states],
        },
    )
    return cursor.rowcount


def apply_genres(
    conn: Connection, artist_keys: Iterable[str], *, batch_id: str | None = None
) -> list[str]:
    """Give the artists' songs that no file gives a genre the looked-up one; the songs changed.

    They become what silver would make of them, ``row_hash`` included, and are noted for what
    follows: as touched by the batch, or without one in ``music.lyrics_changed``.
    """
    from assets.music.silver.statements import fact_hash

    artists = {"keys": sorted(set(artist_keys))}
    with conn.transaction():
        conn.execute(statement("genre_names"), artists)
        changed = sorted(row[0] for row in conn.execute(statement("genre_apply"), artists))
        if changed:
            conn.execute(
                f"UPDATE music.fact_song f SET row_hash = {fact_hash('f')}"
                " WHERE f.song_key = ANY(%s)",
                (changed,),
            )
            name = "changed_noted" if batch_id is None else "changed_touched"
            conn.execute(statement(name), {"keys": changed, "batch": batch_id})
    return changed


def waiting(conn: Connection, batch_id: str) -> list[str]:
    """Artists with a looked-up genre that songs which the batch touched don't have."""
    return [row[0] for row in conn.execute(statement("genre_waiting"), {"batch": batch_id})]


def reset_missing(conn: Connection, now: datetime) -> int:
    """Have artists that the service doesn't know asked for again; their number."""
    return conn.execute(statement("artist_reset"), {"now": now}).rowcount


def _kept(artist: Artist, state: State) -> State:
    if state.status == "missing" and not artist.mbid:
        return replace(state, error=f"by name: {state.error}")
    return state
