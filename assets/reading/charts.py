"""Small pictures of reading for Dagster's metadata.

Belongs here: drawing. Does not: any count.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assets.reading.session.progress import Course

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Bars drawn; the rest is summed up in one.
MOST_BARS = 12
_DPI = 80


def session_chart(course: Course) -> str:
    """Markdown of one picture: messages per minute above latencies. Empty before two looks."""
    rates = course.per_minute()
    if not rates:
        return ""
    figure = _figure(9, 4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.fill_between([at / 60 for at, _ in rates], [rate for _, rate in rates], step="pre")
    upper.set_title("Accepted messages per minute", fontsize=9)
    upper.set_ylim(bottom=0)
    _latencies(lower, course)
    for axes in (upper, lower):
        axes.tick_params(labelsize=7)
    return _markdown(figure, "messages per minute and latency")


def category_chart(shares: Mapping[str, float], title: str = "Share of categories") -> str:
    """Markdown of one picture: the largest shares as bars, the others as one. Empty without any."""
    if not shares:
        return ""
    bars = top(shares)[::-1]
    figure = _figure(7, 0.6 + 0.25 * len(bars))
    axes = figure.subplots()
    # Dollar signs would start mathematical text.
    axes.barh([name[:30].replace("$", r"\$") for name, _ in bars], [share for _, share in bars])
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    return _markdown(figure, title.lower())


def top(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    """The largest shares, ties by name, and the sum of the others as ``(n others)``."""
    ordered = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    head, rest = ordered[:MOST_BARS], ordered[MOST_BARS:]
    if rest:
        head.append((f"({len(rest)} others)", sum(share for _, share in rest)))
    return head


def _latencies(axes: Axes, course: Course) -> None:
    for label in ("p50", "p95"):
        points = [
            (sample.at / 60, value)
            for sample in course.samples
            if (value := getattr(sample, f"latency_{label}")) is not None
        ]
        if points:
            axes.plot([at for at, _ in points], [value for _, value in points], label=label)
    axes.set_title("Seconds from publish to merged", fontsize=9)
    axes.set_xlabel("minutes since the start", fontsize=8)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize=7)


def _figure(width: float, height: float) -> Figure:
    # Figure without pyplot: no state shared between the threads of a process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _markdown(figure: Figure, title: str) -> str:
    buffer = io.BytesIO()
    options: Any = {"format": "png"}
    figure.savefig(buffer, **options)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    # A bracket of the title would end the picture's own.
    return f"![{title.replace('[', '(').replace(']', ')')}](data:image/png;base64,{data})"
