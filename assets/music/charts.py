"""Small pictures of gold for Dagster's metadata: tempo, songs per year, shares of genres.

Belongs here: drawing, and the counts drawn. Does not: any other figure.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from matplotlib.axes import Axes

#: Slices drawn; the rest is summed up in one.
MOST_GENRES = 11
_DPI = 80
_NAME = 30

_TEMPOS = """
SELECT tempo_from::integer, sum(songs)::bigint FROM music.gold_tempo_key_profile
GROUP BY tempo_from ORDER BY tempo_from
"""
_YEARS = """
SELECT year::integer, count(*) FROM music.gold_song_details WHERE year IS NOT NULL
GROUP BY year ORDER BY year
"""
_GENRES = """
SELECT genre, sum(songs)::bigint AS songs FROM music.gold_genre_by_year
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
    shares = largest(conn.execute(_GENRES).fetchall())
    total = sum(n for _, n in shares)

    def draw(axes: Axes) -> None:
        names = [_drawable(name) for name, _ in reversed(shares)]
        bars = axes.barh(names, [100 * n / total for _, n in reversed(shares)])
        axes.bar_label(bars, fmt="%.1f %%", fontsize=6, padding=2)
        axes.margins(x=0.12)
        axes.set_title("Genres, share of songs", fontsize=9)

    return _picture("shares of genres", draw) if shares else ""


def largest(counts: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The first counts, which are the largest, and the sum of the others as ``(n others)``."""
    head, rest = list(counts[:MOST_GENRES]), counts[MOST_GENRES:]
    if rest:
        head.append((f"({len(rest)} others)", sum(count for _, count in rest)))
    return head


def _drawable(name: str) -> str:
    """The name's beginning, with a question mark for what the font has no glyph for."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    shown = "".join(c if ord(c) in glyphs else "?" for c in name[:_NAME])
    # Dollar signs would start mathematical text.
    return shown.replace("$", r"\$")


def _picture(name: str, draw: Callable[[Axes], None]) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure without pyplot: no state shared between the threads of a process.
    figure = Figure(figsize=(6, 2.6), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    draw(axes)
    axes.tick_params(labelsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"![{name}](data:image/png;base64,{data})"
