"""Message ids that a session has dealt with, all of them, in little memory.

Belongs here: remembering ids and finding them again. Does not: what a second delivery means.

Pub/Sub's ids are decimal numbers in practice, which take 8 bytes here, in sorted runs; the others
are kept as they are. Above LIMIT the oldest are forgotten: a message that is delivered again after
that is written again, and the MERGE finds its event there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Run = np.ndarray[Any, Any]

#: Ids, of 8 bytes each.
LIMIT = 10_000_000
#: Ids that are kept as strings until they are sorted into a run, and those that are no numbers.
RECENT = 50_000

_MAX_UINT64 = 2**64 - 1
_MAX_DIGITS = 20
#: Into how many runs at least the limit is divided.
_LEAST_RUNS = 4


class SeenIds:
    """A set of message ids that forgets the oldest above ``limit``."""

    def __init__(self, limit: int = LIMIT, recent: int = RECENT) -> None:
        self._limit = limit
        self._recent_limit = recent
        # Dictionaries keep the order in which ids came.
        self._recent: dict[str, None] = {}
        self._odd: dict[str, None] = {}
        self._runs: list[Run] = []

    def add(self, ids: Iterable[str]) -> None:
        """Remember these ids."""
        for message_id in ids:
            if _number(message_id) is None:
                self._odd[message_id] = None
            else:
                self._recent[message_id] = None
        while len(self._odd) > self._recent_limit:
            del self._odd[next(iter(self._odd))]
        if len(self._recent) > self._recent_limit:
            self._sort_recent()

    def among(self, ids: Sequence[str]) -> set[str]:
        """Those of ``ids`` that are remembered."""
        found = {
            message_id
            for message_id in ids
            if message_id in self._recent or message_id in self._odd
        }
        if self._runs:
            found |= self._in_runs([message_id for message_id in ids if message_id not in found])
        return found

    def _in_runs(self, ids: list[str]) -> set[str]:
        import numpy as np

        pairs = [(number, text) for text in ids if (number := _number(text)) is not None]
        if not pairs:
            return set()
        numbers = np.array([number for number, _ in pairs], dtype=np.uint64)
        hits = np.zeros(len(numbers), dtype=bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, numbers), len(run) - 1)
            hits |= run[places] == numbers
        return {pairs[index][1] for index in np.flatnonzero(hits)}

    def _sort_recent(self) -> None:
        """Make a run of the recent ids; join runs of like length, so that there are few."""
        import numpy as np

        run = np.sort(np.array([int(text) for text in self._recent], dtype=np.uint64))
        self._recent = {}
        while self._runs and self._joins(self._runs[-1], run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")
        self._runs.append(run)
        while len(self._runs) > 1 and sum(map(len, self._runs)) > self._limit:
            del self._runs[0]

    def _joins(self, older: Run, newer: Run) -> bool:
        # Small enough that forgetting the oldest run forgets a part, not all.
        return len(older) < 2 * len(newer) and len(older) + len(newer) <= self._limit // _LEAST_RUNS


def _number(text: str) -> int | None:
    """The number of an id that is written as one, so that it can be told from every other id."""
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        return None
    number = int(text)
    return number if number <= _MAX_UINT64 and str(number) == text else None
