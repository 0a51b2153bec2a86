"""Geometry of the pages' charts: from answers to what a template draws as SVG.

Belongs here: coordinates and order. Does not: colours (``static/site.css``), markup (templates).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Categories that have a colour of their own; the others are one more.
SERIES = 7
OTHERS = "other categories"
WIDTH, HEIGHT = 700.0, 220.0
_GAP = 0.22
#: Ends of a scale, in percent of its width.
_FROM, _TO = 6.0, 94.0


@dataclass(frozen=True, slots=True)
class Column:
    """One column: shares by name, which sum to 1, or nothing."""

    label: str
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Block:
    """One share of a column, in the units of the drawing."""

    name: str
    series: int
    share: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """A column with its blocks, from the bottom up."""

    label: str
    x: float
    width: float
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Stacked:
    """A chart; ``legend`` are its series in order, largest first."""

    legend: tuple[str, ...]
    columns: tuple[Drawn, ...]
    width: float = WIDTH
    height: float = HEIGHT


def stacked(columns: Sequence[Column]) -> Stacked:
    """Each column as blocks whose heights are its shares of the whole."""
    sums: Counter[str] = Counter()
    for one in columns:
        sums.update(one.shares)
    ranked = sorted(sums, key=lambda name: (-sums[name], name))
    legend = ranked if len(ranked) <= SERIES + 1 else [*ranked[:SERIES], OTHERS]
    step = WIDTH / max(len(columns), 1)
    drawn = [
        Drawn(one.label, round(step * (at + _GAP / 2), 2), round(step * (1 - _GAP), 2),
              _blocks(one, legend))
        for at, one in enumerate(columns)
    ]  # fmt: skip
    return Stacked(tuple(legend), tuple(drawn))


def _blocks(column: Column, legend: Sequence[str]) -> tuple[Block, ...]:
    shares: Counter[str] = Counter()
    for name, share in column.shares.items():
        shares[name if name in legend else OTHERS] += share  # type: ignore[assignment]
    found, below = [], 0.0
    for series, name in enumerate(legend):
        share = float(shares[name])
        if share > 0:
            top = HEIGHT * (1 - below - share)
            found.append(Block(name, series, share, round(top, 2), round(HEIGHT * share, 2)))
            below += share
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Mark:
    """A bin on a scale; ``x`` in percent of its width."""

    of: str
    bin: str
    x: float


@dataclass(frozen=True, slots=True)
class Scale:
    """A measure's scale with the domain's bin and those of its category."""

    measure: str
    direction: str | None
    own: Mark
    category: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Bin:
    """The bin of a figure, and where it begins."""

    of: str
    bin: str
    begins: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure: the domain's bin, whether it rose, and the category's bins."""

    measure: str
    direction: str | None
    own: Bin
    category: tuple[Bin, ...]


def scale(figure: Figure) -> Scale:
    """A figure's bins, where they begin on a scale by orders of magnitude, all of them on it."""
    shown = (figure.own, *figure.category)
    places = [math.log1p(max(one.begins, 0.0)) if one.begins > -1 else -1.0 for one in shown]
    low, span = min(places), max(places) - min(places)

    def x(place: float) -> float:
        return round(_FROM + (_TO - _FROM) * (place - low) / span, 1) if span else 50.0

    own, *category = (
        Mark(one.of, one.bin, x(place)) for one, place in zip(shown, places, strict=True)
    )
    return Scale(figure.measure, figure.direction, own, tuple(category))
