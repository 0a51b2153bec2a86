"""Small pictures of a batch for Dagster's metadata.

Belongs here: drawing. Does not: any other count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from assets.frame import pictures

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes


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
    figure = pictures.figure(9, 2.8)
    left, right = figure.subplots(1, 2)
    _campaign_bars(left, tally.campaigns)
    _day_bars(right, tally.days)
    return pictures.markdown(figure, "events per campaign and per day")


def _campaign_bars(axes: Axes, counts: Mapping[str, int]) -> None:
    bars = pictures.largest(counts.items())[::-1]
    axes.barh([pictures.drawable(name) for name, _ in bars], [count for _, count in bars])
    axes.set_title("Events per campaign", fontsize=9)


def _day_bars(axes: Axes, counts: Mapping[date, int]) -> None:
    days = sorted(counts)
    axes.bar([day.toordinal() for day in days], [counts[day] for day in days], width=0.9)
    shown = sorted({days[0], days[len(days) // 2], days[-1]})
    axes.set_xticks([day.toordinal() for day in shown], [day.isoformat() for day in shown])
    axes.set_title("Events per day (UTC)", fontsize=9)
