"""Small pictures of a batch for Dagster's metadata.

Belongs here: drawing. Does not: any other count.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: Bars drawn; the rest is summed up in one.
_MOST_BARS = 12
_DPI = 80


@dataclass(slots=True)
class Tally:
    """Events per campaign and per day (UTC) of the chunks that passed by."""

    campaigns: Counter[str] = field(default_factory=Counter)
    days: Counter[date] = field(default_factory=Counter)

    def add(self, chunk: pl.DataFrame) -> None:
        """Count a chunk of staging; events without a campaign count as ``(none)``."""
        names = chunk["campaign"].fill_null("(none)").value_counts()
        self.campaigns.update(dict(names.iter_rows()))
        self.days.update(dict(chunk["timestamp"].dt.date().value_counts().iter_rows()))

    def passing(self, chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The same chunks, each counted on its way."""
        for chunk in chunks:
            self.add(chunk)
            yield chunk


def events_chart(tally: Tally) -> str:
    """Markdown of one picture: events per campaign beside events per day. Empty without events."""
    if not tally.days:
        return ""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figure without pyplot: no state shared between the threads of a process.
    figure = Figure(figsize=(9, 2.8), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _campaign_bars(left, tally.campaigns)
    _day_bars(right, tally.days)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"![events per campaign and per day](data:image/png;base64,{data})"


def top(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest counts, ties by name, and the sum of the others as ``(n others)``."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    head, rest = ordered[:_MOST_BARS], ordered[_MOST_BARS:]
    if rest:
        head.append((f"({len(rest)} others)", sum(count for _, count in rest)))
    return head


def _campaign_bars(axes: Axes, counts: Mapping[str, int]) -> None:
    bars = top(counts)[::-1]
    # Dollar signs would start mathematical text.
    axes.barh([name[:30].replace("$", r"\$") for name, _ in bars], [count for _, count in bars])
    axes.set_title("Events per campaign", fontsize=9)
    axes.tick_params(labelsize=7)


def _day_bars(axes: Axes, counts: Mapping[date, int]) -> None:
    days = sorted(counts)
    axes.bar([day.toordinal() for day in days], [counts[day] for day in days], width=0.9)
    shown = sorted({days[0], days[len(days) // 2], days[-1]})
    axes.set_xticks([day.toordinal() for day in shown], [day.isoformat() for day in shown])
    axes.set_title("Events per day (UTC)", fontsize=9)
    axes.tick_params(labelsize=7)
