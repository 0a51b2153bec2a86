"""What a gold asset shows of its table: at most 10 rows, and a picture.

Belongs here: which rows and columns. Does not: drawing (``assets.music.gold.charts``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.music.gold import charts
from assets.music.gold.replacement import Replaced
from assets.music.tables import TABLES

if TYPE_CHECKING:
    import psycopg

PREVIEW_ROWS = 10

#: Columns shown, and the order in which the first rows are those to look at.
_PREVIEWS = {
    "song_details": (
        ("title", "artist", "album", "genre", "year", "duration", "tempo", "lyrics_status"),
        "song_key",
    ),
    "artist_performance": (
        ("artist", "songs", "average_tempo", "average_loudness", "total_duration"),
        "songs DESC, artist_key",
    ),
    "album_performance": (
        ("album", "artists", "songs", "average_duration"),
        "songs DESC, album_key",
    ),
    "genre_by_year": (
        ("genre", "year", "songs", "average_tempo", "average_loudness"),
        "songs DESC, genre, year",
    ),
    "tempo_key_profile": (
        ("key", "mode", "tempo_from", "songs", "average_loudness"),
        "songs DESC, key, mode, tempo_from",
    ),
    "song_plays": (("song_key", "plays", "listeners"), "plays DESC, song_key"),
    "artist_plays": (("artist", "songs", "plays", "listeners"), "plays DESC, artist_key"),
}
_CHARTS: dict[str, Callable[[psycopg.Connection[Any]], str]] = {
    "song_details": charts.years_chart,
    "genre_by_year": charts.genres_chart,
    "tempo_key_profile": charts.tempo_chart,
}


def metadata(conn: psycopg.Connection[Any], name: str, replaced: Replaced) -> dict[str, Any]:
    """How the table was replaced, a preview, and a picture where there is one to draw."""
    shown: dict[str, Any] = {
        "dagster/table_name": TABLES[name].qualified,
        "dagster/column_lineage": TABLES[name].column_lineage(),
        "mode": replaced.mode,
        "preview": dg.MetadataValue.md(preview(conn, name)),
    }
    picture = _CHARTS[name](conn) if name in _CHARTS else ""
    if picture:
        shown["chart"] = dg.MetadataValue.md(picture)
    return shown


def preview(conn: psycopg.Connection[Any], name: str) -> str:
    """Markdown of at most 10 rows of a gold table."""
    columns, order = _PREVIEWS[name]
    rows = conn.execute(
        f"SELECT {', '.join(columns)} FROM {TABLES[name].qualified}"
        f" ORDER BY {order} LIMIT {PREVIEW_ROWS}"
    )
    return markdown.table(columns, ([_shown(value) for value in row] for row in rows))


def _shown(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "; ".join(value) if isinstance(value, list) else value
