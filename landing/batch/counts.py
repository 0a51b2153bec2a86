"""What became of the rows: per object version and in total.

Belongs here: the figures and the equation they must satisfy. Does not: where they are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Literal

Outcome = Literal["loaded", "superseded", "gone", "rejected"]


class UnbalancedCounts(Exception):
    """Rows went missing or appeared: a defect, never a property of the data."""


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows. read = written + unchanged + superseded + rejected."""

    read: int = 0
    written: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every row that was read went somewhere, once."""
        return self.read == self.written + self.unchanged + self.superseded + self.rejected

    def standing_for(self, rows: int) -> RowCounts:
        """Of a record that was decided: what became of the ``rows`` of its object."""
        return replace(
            self,
            written=self.written * rows,
            unchanged=self.unchanged * rows,
            superseded=self.superseded * rows,
        )

    def require_balance(self, what: str) -> None:
        """Raises UnbalancedCounts, naming ``what``."""
        if not self.balanced:
            raise UnbalancedCounts(f"{what}: {self}")


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """The outcome of one object version; ``seq`` is its sequence in the ledger.

    ``whole`` when it was read to its end and no row of it was rejected, other than as a duplicate.
    """

    seq: int
    uri: str
    outcome: Outcome
    reason: str | None
    rows: RowCounts
    whole: bool = False


def total(counts: Iterable[RowCounts]) -> RowCounts:
    """The sum, column by column."""
    return RowCounts(*map(sum, zip(*map(astuple, counts), strict=True)))
