"""Small pictures of reading for Dagster's metadata.

Belongs here: drawing. Does not: any count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from assets.frame import pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from assets.reading.session.progress import SessionTimeline


def session_chart(timeline: SessionTimeline) -> str:
    """Markdown of one picture: messages per minute above latencies. Empty before two looks."""
    rates = timeline.per_minute()
    if not rates:
        return ""
    figure = pictures.figure(9, 4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.fill_between([at / 60 for at, _ in rates], [rate for _, rate in rates], step="pre")
    upper.set_title("Accepted messages per minute", fontsize=9)
    upper.set_ylim(bottom=0)
    _latencies(lower, timeline)
    return pictures.markdown(figure, "messages per minute and latency")


def category_chart(shares: Mapping[str, float], title: str = "Share of categories") -> str:
    """Markdown of one picture: the largest shares as bars, the others as one. Empty without any."""
    if not shares:
        return ""
    bars = pictures.largest(shares.items())[::-1]
    figure = pictures.figure(7, 0.6 + 0.25 * len(bars))
    axes = figure.subplots()
    axes.barh([pictures.drawable(name) for name, _ in bars], [share for _, share in bars])
    axes.set_title(title, fontsize=9)
    return pictures.markdown(figure, title.lower())


def _latencies(axes: Axes, timeline: SessionTimeline) -> None:
    for label in ("p50", "p95"):
        points = [
            (sample.at / 60, value)
            for sample in timeline.samples
            if (value := getattr(sample, f"latency_{label}")) is not None
        ]
        if points:
            axes.plot([at for at, _ in points], [value for _, value in points], label=label)
    axes.set_title("Seconds from publish to merged", fontsize=9)
    axes.set_xlabel("minutes since the start", fontsize=8)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize=7)
