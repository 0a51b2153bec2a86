"""A domain's bins beside those of its category, as they may be shown to anybody.

Belongs here: which of them stand beside each other. Does not: which figures may leave our walls,
nor how they are binned: ``prompts.prompt_data`` says that, for the model and for people alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assets.domains.bins import lower_edge
from assets.domains.prompts import prompt_data


@dataclass(frozen=True, slots=True)
class Bin:
    """The bin of a figure, and where it begins."""

    of: str
    bin: str
    begins: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One measure: the domain's bin, whether it rose, and the category's bins, smallest first.

    ``direction`` is against the month before: up, flat, down, or None where it is not known.
    ``category`` is empty for a domain without a category, and where that has too few domains.
    """

    measure: str
    bin: str
    begins: float
    direction: str | None
    category: tuple[Bin, ...]


#: A measure, its name in the prompt's data, and the category's names there.
_MEASURES: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "revenue", "revenue in dollars",
        {
            "median": "category median revenue in dollars",
            "largest": "category largest revenue in dollars",
        },
    ),
    (
        "sessions", "sessions",
        {"median": "category median sessions", "largest": "category highest sessions"},
    ),
    (
        "conversion rate", "conversion rate in percent",
        {
            "10th percentile": "category conversion rate in percent, 10th percentile",
            "90th percentile": "category conversion rate in percent, 90th percentile",
        },
    ),
    (
        "order value", "order value in dollars",
        {
            "10th percentile": "category order value in dollars, 10th percentile",
            "90th percentile": "category order value in dollars, 90th percentile",
        },
    ),
)  # fmt: skip


def figures_of(row: Mapping[str, Any]) -> tuple[Figure, ...]:
    """Of a row of tables.FEATURES; a measure that the domain lacks is left out."""
    told = prompt_data(row)
    return tuple(
        Figure(
            measure, told[name], lower_edge(told[name]),
            told.get(f"{measure} against the month before"),
            tuple(
                Bin(of, told[other], lower_edge(told[other]))
                for of, other in category.items() if other in told
            ),
        )
        for measure, name, category in _MEASURES if name in told
    )  # fmt: skip
