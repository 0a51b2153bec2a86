"""Rows that a store refuses, found among those that it takes, by splitting requests. Pure.

Belongs here: the splitting, and the evidence that a row is at fault. Does not: any store (which
errors speak of data is told by its module), where refused rows are noted
(``landing/batch/refused.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

#: Something with a length that can be sliced: a list, a frame.
Rows = TypeVar("Rows")
#: Rows that may be found at fault one after another before any other row got through.
SUSPECTS = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a store says of data. ``certain`` when its words can mean nothing but the row itself.

    ``too_much`` when it is of a whole request: a part of it may be taken, and no row is at fault.
    """

    detail: str
    certain: bool = False
    too_much: bool = False


class Isolating(Generic[Rows]):
    """Writes of one sink for one batch; ``settle`` once all are through.

    ``why`` is the store's word on its data that an error is, or None for any other error, which is
    raised. ``refused`` is told of each row at fault, as a piece of one row. Without it nothing is
    split and every error is raised.

    A row is at fault when other rows got through, in whichever request: what refuses all of them is
    the table or the system. Rows that are refused only together are not at fault once each was
    taken by a request of its own; where the store keeps to it, the one that is written later is.
    """

    def __init__(
        self,
        why: Callable[[Exception], Refusal | None],
        refused: Callable[[Rows, str], None] | None,
    ) -> None:
        self._why, self._refused = why, refused
        self._got_through = False
        self._suspects: list[tuple[Rows, Refusal, Exception]] = []

    def write(self, rows: Rows, write: Callable[[Rows], Any]) -> None:
        """Write the rows, by as few requests as it takes to set the refused ones aside.

        ``write`` may be called with any part of them, and again with rows that it has written. What
        it took must stay: a store that takes all or nothing is told of what it took before, too.
        """
        pieces: Any = [rows]
        most = SUSPECTS
        while pieces:
            piece = pieces.pop()
            if not len(piece):
                continue
            suspects = len(self._suspects)
            try:
                write(piece)
            except Exception as error:
                refusal = self._why(error) if self._refused else None
                if refusal is None:
                    raise
                if refusal.too_much and len(piece) == 1:
                    raise
                if len(piece) > 1:
                    half = len(piece) // 2
                    pieces += [piece[half:], piece[:half]]
                    continue
                self._suspects.append((piece, refusal, error))
                self._tell()
                if len(self._suspects) == SUSPECTS:
                    # Bad rows often lie together: before all are given up, one of each piece left.
                    last = [one[-1:] for one in pieces if len(one)]
                    pieces = [*(one[:-1] for one in pieces), *last]
                    most = SUSPECTS + len(last)
                if len(self._suspects) >= most:
                    raise self._suspects[0][2] from None
            else:
                # What the store singles out says nothing of the others: see `suspect`.
                if len(self._suspects) == suspects:
                    self.got_through()

    def got_through(self) -> None:
        """Some row was taken: the suspects so far are at fault."""
        self._got_through = True
        self._tell()

    def settle(self) -> None:
        """Raise what the store said of the suspects where nothing else got through."""
        self._tell()
        if self._suspects:
            raise self._suspects[0][2]

    def suspect(self, row: Rows, refusal: Refusal, error: Exception) -> None:
        """A row that the store itself singled out, while it took the others of the request."""
        if self._refused is None:
            raise error
        self._suspects.append((row, refusal, error))
        self._tell()
        if len(self._suspects) >= SUSPECTS:
            raise self._suspects[0][2]

    def _tell(self) -> None:
        left = []
        for one in self._suspects:
            row, refusal, _ = one
            if self._refused and (self._got_through or refusal.certain):
                self._refused(row, refusal.detail)
            else:
                left.append(one)
        self._suspects = left
