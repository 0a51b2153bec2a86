"""Small pictures for Dagster's metadata: from a figure to markdown, and what bars show.

Belongs here: what the charts of several pipelines share. Does not: any chart.
Imported lazily where something is drawn: its functions need matplotlib.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Number = TypeVar("Number", int, float)

#: Bars drawn; the rest is summed up in one.
MOST_BARS = 12
_DPI = 80
_NAME = 30


def figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches of 80 dots."""
    # Figure without pyplot: no state shared between the threads of a process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(made)
    return made


def markdown(drawn: Figure, title: str) -> str:
    """The figure as a PNG inside markdown."""
    for axes in drawn.axes:
        axes.tick_params(labelsize=7)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    # A bracket of the title would end the picture's own.
    return f"![{title.replace('[', '(').replace(']', ')')}](data:image/png;base64,{data})"


def largest(
    counts: Iterable[tuple[str, Number]], most: int = MOST_BARS
) -> list[tuple[str, Number]]:
    """The largest counts, ties by name, and the sum of the others as ``(n others)``."""
    ordered = sorted(counts, key=lambda item: (-item[1], item[0]))
    head, rest = ordered[:most], ordered[most:]
    if rest:
        head.append((f"({len(rest)} others)", sum(count for _, count in rest)))
    return head


def drawable(name: str) -> str:
    """The name's beginning, with a question mark for what the font has no glyph for."""
    from matplotlib.font_manager import findfont, get_font

    glyphs = get_font(findfont("DejaVu Sans")).get_charmap()
    shown = "".join(c if ord(c) in glyphs else "?" for c in name[:_NAME])
    # Dollar signs would start mathematical text.
    return shown.replace("$", r"\$")
