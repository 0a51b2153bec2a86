"""Report months: which one an object on S3 asks for, and what comes before and after it.

Belongs here: months as ``2025-03`` and as dates. Does not: what is computed of a month.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime

#: The first month that may be reported.
FIRST = "2020-01"
FORMAT = "%Y-%m"

_MONTH_FOLDER = re.compile(r"(\d{4}-\d{2})/")


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """One calendar month, by its first day."""

    start: date

    @classmethod
    def parse(cls, text: str) -> Month:
        """Of ``2025-03``. Raises ValueError."""
        return cls(datetime.strptime(text, FORMAT).replace(tzinfo=UTC).date())

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """The month of a moment, in UTC."""
        return cls(moment.astimezone(UTC).date().replace(day=1))

    def __str__(self) -> str:
        return self.start.strftime(FORMAT)

    @property
    def after(self) -> Month:
        """The next month."""
        return self._moved(1)

    @property
    def before(self) -> Month:
        """The month before."""
        return self._moved(-1)

    def _moved(self, months: int) -> Month:
        count = self.start.year * 12 + self.start.month - 1 + months
        return Month(date(count // 12, count % 12 + 1, 1))


def month_asked(name: str, written_at: datetime, now: datetime) -> str:
    """The month that the name's folder is, else the one before the object was written, in UTC.

    ``name`` is the part of its key behind the prefix.

    Raises ValueError when that is no month, before FIRST or not over yet: a slip of the pen must
    not ask, and pay, for another month than was meant. Once a month is over, its marker counts.
    """
    named = _MONTH_FOLDER.match(name)
    month = Month.parse(named[1]) if named else Month.of(written_at).before
    if not Month.parse(FIRST) <= month < Month.of(now):
        raise ValueError(f"{month} cannot be reported")
    return str(month)
