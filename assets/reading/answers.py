"""What the outside asks of reading: what one user read in the two weeks up to a date, by category.

Belongs here: all that an API, the demo or a command may call. Does not: the tables that answer for
everybody (``affinity/computation.py``), whose shares are the same as those counted here, straight
from the events.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from assets.reading.affinity.computation import window
from assets.reading.rules import INT64, READ_BEYOND, midnight
from assets.reading.tables import warehouse_of

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

__all__ = [
    "ANSWER", "READ_BEYOND", "CategoryShare", "CategoryShares", "category_shares", "warehouse_of",
]  # fmt: skip

# Reads the window's day partitions and, in each, the blocks that hold the user.
ANSWER = f"""
SELECT m.category_name, COUNT(*) AS events
FROM (
    SELECT DISTINCT content_id, updated_at FROM `{{user_interaction}}`
    WHERE updated_at >= @start AND updated_at < @finish
        AND user_id = @user_id AND read_percent > {READ_BEYOND}
) AS i
JOIN `{{content_meta}}` AS m ON m.content_id = i.content_id
GROUP BY m.category_name
"""


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """A category, the events of the window that are of it, and their share of all pairs, 0 to 1."""

    category: str
    events: int
    share: float


@dataclass(frozen=True, slots=True)
class CategoryShares:
    """What a user read from ``first`` to ``last`` (UTC days, both included), most events first.

    ``categories`` is empty when there is nothing; else the shares sum to 1.
    """

    user_id: int
    first: date
    last: date
    categories: tuple[CategoryShare, ...]

    @property
    def events(self) -> int:
        """Pairs of an event and a category."""
        return sum(one.events for one in self.categories)

    @property
    def shares(self) -> dict[str, float]:
        """Share by category."""
        return {one.category: one.share for one in self.categories}


def category_shares(client: Client, dataset: str, user_id: int, query_date: date) -> CategoryShares:
    """Each category's share of what the user read of events that count, in the two weeks to a date.

    Raises:
        ValueError: no 64-bit integer, no date or one without a window, or names that BigQuery does
            not allow.
        google.api_core.exceptions errors: BigQuery does not answer.
    """
    from google.cloud.bigquery import ScalarQueryParameter

    _check(user_id, query_date)
    days = window(query_date)
    bound = [*days.parameters()[2:], ScalarQueryParameter("user_id", "INT64", user_id)]
    counts = {
        row.category_name: row.events for row in warehouse_of(client, dataset).run(ANSWER, bound)
    }
    total = sum(counts.values())
    return CategoryShares(
        user_id,
        days.first,
        days.last,
        tuple(
            CategoryShare(category, events, events / total)
            for category, events in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


def _check(user_id: object, query_date: object) -> None:
    if isinstance(user_id, bool) or not isinstance(user_id, int):
        raise ValueError(f"a user id is an integer, not {user_id!r}")  # noqa: TRY004
    if user_id not in INT64:
        raise ValueError(f"a user id has 64 bits: {user_id}")
    if isinstance(query_date, datetime) or not isinstance(query_date, date):
        raise ValueError(f"not a date without a time: {query_date!r}")  # noqa: TRY004
    try:
        days = window(query_date)
        midnight(days.first)
        days.parameters()
    except OverflowError:
        raise ValueError(f"no two weeks end on {query_date}") from None
