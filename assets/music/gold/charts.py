"""Small pictures of gold for Dagster's metadata: tempo, songs per year, shares of genres.

Belongs here: drawing, and the counts drawn. Does not: any other figure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assets.frame import pictures

if TYPE_CHECKING:
    import psycopg
    from matplotlib.axes import Axes

#: Slices drawn; the rest is summed up in one.
MOST_GENRES = 11

_TEMPOS = """
SELECT tempo_from::integer, sum(songs)::bigint FROM music.tempo_key_profile
GROUP BY tempo_from ORDER BY tempo_from
"""
_YEARS = """
SELECT year::integer, count(*) FROM music.song_details WHERE year IS NOT NULL
GROUP BY year ORDER BY year
"""
_GENRES = """
SELECT genre, sum(songs)::bigint AS songs FROM music.genre_by_year
GROUP BY genre ORDER BY songs DESC, genre COLLATE "C"
"""


def tempo_chart(conn: psycopg.Connection[Any]) -> str:
    """Markdown of a histogram of tempo; empty when no song has tempo, key and mode."""
    bins = conn.execute(_TEMPOS).fetchall()

    def draw(axes: Axes) -> None:
        axes.bar([left for left, _ in bins], [n for _, n in bins], width=9.2, align="edge")
        axes.set_title("Songs by tempo (beats per minute)", fontsize=9)

    return _picture("songs by tempo", draw) if bins else ""


def years_chart(conn: psycopg.Connection[Any]) -> str:
    """Markdown of songs per release year; empty when no year is known."""
    from matplotlib.ticker import MaxNLocator

    years = conn.execute(_YEARS).fetchall()

    def draw(axes: Axes) -> None:
        axes.bar([year for year, _ in years], [n for _, n in years], width=0.9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title("Songs per release year", fontsize=9)

    return _picture("songs per release year", draw) if years else ""


def genres_chart(conn: psycopg.Connection[Any]) -> str:
    """Markdown of the genres' shares of the songs that have one; empty when none has."""
    shares = pictures.largest(conn.execute(_GENRES).fetchall(), MOST_GENRES)
    total = sum(n for _, n in shares)

    def draw(axes: Axes) -> None:
        names = [pictures.drawable(name) for name, _ in reversed(shares)]
        bars = axes.barh(names, [100 * n / total for _, n in reversed(shares)])
        axes.bar_label(bars, fmt="%.1f %%", fontsize=6, padding=2)
        axes.margins(x=0.12)
        axes.set_title("Genres, share of songs", fontsize=9)

    return _picture("shares of genres", draw) if shares else ""


def _picture(name: str, draw: Callable[[Axes], None]) -> str:
    figure = pictures.figure(6, 2.6)
    draw(figure.subplots())
    return pictures.markdown(figure, name)
