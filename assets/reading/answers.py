"""What one user read in the two weeks up to a date, by category, straight from the events.

Belongs here: the direct question. Does not: the tables that answer it for everybody
(``computation.py``), whose shares are the same.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from assets.reading.affinity.computation import window
from assets.reading.rules import INT64, READ_BEYOND, midnight
from assets.reading.tables import warehouse_of
from resources.bigquery import run

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

# Reads the window's day partitions and, in each, the blocks that hold the user.
ANSWER = f"""
SELECT m.category_name, COUNT(*) AS events
FROM `{{user_interaction}}` AS i
JOIN `{{content_meta}}` AS m ON m.content_id = i.content_id
WHERE i.updated_at >= @start AND i.updated_at < @finish
    AND i.user_id = @user_id AND i.read_percent > {READ_BEYOND}
GROUP BY m.category_name
"""


def category_counts(client: Client, dataset: str, user_id: int, query_date: date) -> dict[str, int]:
    """Pairs of an event of the window and a category, by category, the most frequent first.

    Raises like ``category_shares``.
    """
    from google.cloud.bigquery import ScalarQueryParameter

    _check(user_id, query_date)
    days = window(query_date)
    rows = run(
        client,
        warehouse_of(client, dataset).sql(ANSWER),
        [*days.parameters()[2:], ScalarQueryParameter("user_id", "INT64", user_id)],
    )
    counts = {row.category_name: row.events for row in rows}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def category_shares(
    client: Client, dataset: str, user_id: int, query_date: date
) -> dict[str, float]:
    """Each category's share of what the user read beyond 90 percent in [date - 14 days, date].

    The days are UTC's, whole, both ends included; the shares sum to 1. Empty when there is nothing.

    Raises:
        ValueError: no 64-bit integer, no date or one without a window, or names that BigQuery does
            not allow.
        google.api_core.exceptions errors: BigQuery does not answer.
    """
    counts = category_counts(client, dataset, user_id, query_date)
    total = sum(counts.values())
    return {category: events / total for category, events in counts.items()}


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
