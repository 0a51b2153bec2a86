"""Unknown members of the dimensions: what facts refer to where nothing is known.

Belongs here: whether they are as the migration made them, and facts found through them. Does not:
their key (``assets.music.registry.silver``), who refers to them (``songs.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.music.registry.silver import UNKNOWN_NAME
from assets.music.silver.statements import UNKNOWN

if TYPE_CHECKING:
    import psycopg

#: By dimension: its key, what the unknown member's key is, and all that the row says.
_MEMBERS = {
    "dim_artist": ("artist_key", UNKNOWN, f"""name = '{UNKNOWN_NAME}'
        AND num_nonnulls(artist_id, mbid, location, latitude, longitude) = 0"""),
    "dim_album": ("album_key", UNKNOWN, f"title = '{UNKNOWN_NAME}' AND release_id IS NULL"),
    "dim_genre": ("genre_key", UNKNOWN, f"name = '{UNKNOWN_NAME}'"),
    "dim_date": ("year_key", "0", "num_nonnulls(year, decade) = 0"),
}  # fmt: skip
_JOINS = " ".join(f"JOIN music.{table} USING ({key})" for table, (key, *_) in _MEMBERS.items())
_FACTS = ", ".join(
    f"count(*) FILTER (WHERE {key} = {value})" for key, value, _ in _MEMBERS.values()
)


def changed(conn: psycopg.Connection[Any]) -> list[str]:
    """Dimensions whose unknown member is gone, or says something."""
    return [
        table
        for table, (key, value, says) in _MEMBERS.items()
        if not conn.execute(
            f"SELECT true FROM music.{table} WHERE {key} = {value} AND {says}"
        ).fetchone()
    ]


def facts(conn: psycopg.Connection[Any]) -> tuple[int, int, dict[str, int]]:
    """Songs, those that inner joins of all dimensions find, and how many refer to each member."""
    songs, *unknown = conn.execute(
        f"SELECT count(*), {_FACTS} FROM music.fact_song"
    ).fetchone() or (0, 0, 0, 0, 0)
    joined = conn.execute(f"SELECT count(*) FROM music.fact_song {_JOINS}").fetchone() or (0,)
    names = (f"songs_of_unknown_{table.removeprefix('dim_')}" for table in _MEMBERS)
    return songs, joined[0], dict(zip(names, unknown, strict=True))
