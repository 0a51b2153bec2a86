"""What the outside asks of reading: what one user read in the two weeks up to a date, by category.

Belongs here: all that an API, the demo or a command may call. Does not: publishing, which it only
passes on (``publishing.py``), the tables that answer for everybody (``affinity/computation.py``),
whose shares are the same as those counted here, straight from the events.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from assets.reading.affinity.computation import Days, window
from assets.reading.publishing import (
    BadMessagesError,
    Posted,
    checked,
    message_schema,
    publish,
)
from assets.reading.rules import INT64, READ_BEYOND, WINDOW_DAYS, midnight
from assets.reading.streams import (
    RejectedMessage,
    Stream,
    newest_streams,
    rejected_messages,
    streams,
)
from assets.reading.tables import warehouse_of
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg
    from google.cloud.bigquery import Client

__all__ = [
    "ANSWER", "BY_DAY", "MOST_DAYS", "MOST_PERCENT", "READ_BEYOND", "WINDOW_DAYS",
    "BadMessagesError", "CategoryShare", "CategoryShares", "Posted", "RejectedMessage", "Stream",
    "category_shares", "checked", "message_schema", "newest_streams", "publish",
    "rejected_messages", "rests_on", "shares_over_days", "streams", "warehouse_of",
]  # fmt: skip

#: Days of the longest window, and the largest percentage that can be asked for.
MOST_DAYS = 366
MOST_PERCENT = 100

# Reads the window's day partitions and, in each, the blocks that hold the user.
ANSWER = """
SELECT m.category_name, COUNT(*) AS events
FROM (
    SELECT DISTINCT content_id, updated_at FROM `{user_interaction}`
    WHERE updated_at >= @start AND updated_at < @finish
        AND user_id = @user_id AND read_percent > @beyond
) AS i
JOIN `{content_meta}` AS m ON m.content_id = i.content_id
GROUP BY m.category_name
"""
# The same by day: what a window holds is the sum of its days, for an event is of one day.
BY_DAY = """
SELECT DATE(i.updated_at, 'UTC') AS day, m.category_name, COUNT(*) AS events
FROM (
    SELECT DISTINCT content_id, updated_at FROM `{user_interaction}`
    WHERE updated_at >= @start AND updated_at < @finish
        AND user_id = @user_id AND read_percent > @beyond
) AS i
JOIN `{content_meta}` AS m ON m.content_id = i.content_id
GROUP BY day, m.category_name
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


def category_shares(
    client: Client,
    dataset: str,
    user_id: int,
    query_date: date,
    *,
    days: int = WINDOW_DAYS,
    beyond: int = READ_BEYOND,
) -> CategoryShares:
    """Each category's share of what the user read of events that count, in the days up to a date.

    Events count that were read beyond so many percent, from ``days`` before the date to its end.

    Raises:
        ValueError: no 64-bit integer, no date or one without a window, days or percentages that
            there are not, or names that BigQuery does not allow.
        google.api_core.exceptions errors: BigQuery does not answer.
    """
    _check(user_id, query_date, days, beyond)
    span = window(query_date, days)
    rows = _counted(client, dataset, ANSWER, user_id=user_id, span=span, beyond=beyond)
    return _shares(user_id, span, Counter({row.category_name: row.events for row in rows}))


def shares_over_days(
    client: Client,
    dataset: str,
    user_id: int,
    last: date,
    *,
    dates: int = WINDOW_DAYS,
    days: int = WINDOW_DAYS,
    beyond: int = READ_BEYOND,
) -> tuple[CategoryShares, ...]:
    """What :func:`category_shares` says of each of so many query dates, up to the last one.

    One query for all of them. Raises the same, and ValueError for windows that are longer together.
    """
    _check(user_id, last, days + dates - 1, beyond)
    whole = window(last, days + dates - 1)
    counts: dict[date, Counter[str]] = defaultdict(Counter)
    for row in _counted(client, dataset, BY_DAY, user_id=user_id, span=whole, beyond=beyond):
        counts[row.day][row.category_name] = row.events
    found = []
    for back in reversed(range(dates)):
        span = window(last - timedelta(days=back), days)
        within = [pairs for day, pairs in counts.items() if span.first <= day <= span.last]
        found.append(_shares(user_id, span, sum(within, Counter())))
    return tuple(found)


def _counted(
    client: Client, dataset: str, statement: str, *, user_id: int, span: Days, beyond: int
) -> Iterable[Any]:
    from google.cloud.bigquery import ScalarQueryParameter

    bound = [
        *span.parameters()[2:],
        ScalarQueryParameter("user_id", "INT64", user_id),
        ScalarQueryParameter("beyond", "INT64", beyond),
    ]
    rows: Iterable[Any] = warehouse_of(client, dataset).run(statement, bound)
    return rows


def _shares(user_id: int, span: Days, counts: Counter[str]) -> CategoryShares:
    total = counts.total()
    return CategoryShares(
        user_id,
        span.first,
        span.last,
        tuple(
            CategoryShare(category, events, events / total)
            for category, events in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


def rests_on(connection: psycopg.Connection[Any]) -> Delivered | None:
    """What was last written of history, or by a streaming session, whose id is its run's."""
    session = connection.execute(
        "SELECT session_id, updated_at FROM reading.session ORDER BY updated_at DESC LIMIT 1"
    ).fetchone()
    found = [Delivered(session[0], session[1], session[0], "session")] if session else []
    batch = newest_delivery(connection, "reading")
    return max([*found, *([batch] if batch else [])], key=lambda one: one.written_at, default=None)


def _check(user_id: object, query_date: object, days: int, beyond: int) -> None:
    if not 0 <= days <= MOST_DAYS or not 0 <= beyond <= MOST_PERCENT:
        raise ValueError(f"a window has 0 to {MOST_DAYS} days, and begins beyond 0 to 100 percent")
    if isinstance(user_id, bool) or not isinstance(user_id, int):
        raise ValueError(f"a user id is an integer, not {user_id!r}")  # noqa: TRY004
    if user_id not in INT64:
        raise ValueError(f"a user id has 64 bits: {user_id}")
    if isinstance(query_date, datetime) or not isinstance(query_date, date):
        raise ValueError(f"not a date without a time: {query_date!r}")  # noqa: TRY004
    try:
        span = window(query_date, days)
        midnight(span.first)
        span.parameters()
    except OverflowError:
        raise ValueError(f"no {days} days end on {query_date}") from None
