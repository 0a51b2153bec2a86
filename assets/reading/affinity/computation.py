"""Daily counts of users' categories, and their shares per query date, computed inside BigQuery.

Belongs here: the statements, the order in which they run, and what they say about their result.
Does not: when they run (``automation.py``), one user's answer straight from the events
(``answer.py``).

The days of a window are whole and both ends belong to it: a query date D is answered from the
events of [D - WINDOW_DAYS, D], UTC. What a user read of a content at one time counts once, by its
largest percentage (docs/adr/0010). A pair is an event read beyond READ_BEYOND together with one of
its content's categories; an event whose content has no category yet counts nowhere until it has.

Partitions are replaced, never emptied first: one MERGE takes what has gone, adds what is new and
leaves what is the same, so a reader sees the old partition or the new one. Its bounds stand in each
WHEN clause that looks at the table, for that is how BigQuery reads these partitions only. Source:
https://cloud.google.com/bigquery/docs/using-dml-with-partitioned-tables (pruning, MERGE). Two such
statements that find a partition empty would only insert, which BigQuery lets both do: hence the
fencing of ``merges.py``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from assets.reading.merges import run_merge
from assets.reading.rules import READ_BEYOND, WINDOW_DAYS, midnight
from assets.reading.tables import DAILY_COUNTS, SHARES

if TYPE_CHECKING:
    import psycopg

    from assets.sinks.bigquery import Warehouse

    Connection = psycopg.Connection[Any]

#: Partitions that one statement replaces. A job of BigQuery's modifies 4,000 at most; a statement
#: that fails has not lost much; and shares are many: each count makes up to 15 of them.
COUNT_SPAN = 100
SHARE_SPAN = 15

#: How far from 1 the shares of one user may sum up, in floating point.
TOLERANCE = 1e-9

# What is counted: pairs of an event of which enough was read, and a category.
_PAIRS = f"""
    SELECT DATE(i.updated_at) AS day, i.user_id, m.category_name, COUNT(*) AS events
    FROM (
        SELECT DISTINCT user_id, content_id, updated_at FROM `{{user_interaction}}`
        WHERE updated_at >= @start AND updated_at < @finish AND read_percent > {READ_BEYOND}
    ) AS i
    JOIN `{{content_meta}}` AS m ON m.content_id = i.content_id
    GROUP BY day, i.user_id, m.category_name
"""

COUNT = f"""
MERGE `{{daily_category_counts}}` AS t
USING ({_PAIRS}) AS s
ON t.day = s.day AND t.user_id = s.user_id AND t.category_name = s.category_name
WHEN MATCHED AND t.day BETWEEN @first AND @last AND t.events != s.events THEN
    UPDATE SET events = s.events
WHEN NOT MATCHED BY SOURCE AND t.day BETWEEN @first AND @last THEN DELETE
WHEN NOT MATCHED BY TARGET THEN
    INSERT (day, user_id, category_name, events)
    VALUES (s.day, s.user_id, s.category_name, s.events)
"""

# Each count goes to the query dates of the range that see its day: at most 15, whatever the range.
SHARE = f"""
MERGE `{{user_category_shares}}` AS t
USING (
    SELECT query_date, user_id, category_name, events,
        events / SUM(events) OVER (PARTITION BY query_date, user_id) AS share
    FROM (
        SELECT query_date, c.user_id, c.category_name, SUM(c.events) AS events
        FROM `{{daily_category_counts}}` AS c
        CROSS JOIN UNNEST(GENERATE_DATE_ARRAY(
            GREATEST(c.day, @first), LEAST(DATE_ADD(c.day, INTERVAL {WINDOW_DAYS} DAY), @last)
        )) AS query_date
        WHERE c.day BETWEEN @window_start AND @last
        GROUP BY query_date, c.user_id, c.category_name
    )
) AS s
ON t.query_date = s.query_date AND t.user_id = s.user_id AND t.category_name = s.category_name
WHEN MATCHED AND t.query_date BETWEEN @first AND @last
    AND (t.events != s.events OR t.share != s.share) THEN
    UPDATE SET events = s.events, share = s.share
WHEN NOT MATCHED BY SOURCE AND t.query_date BETWEEN @first AND @last THEN DELETE
WHEN NOT MATCHED BY TARGET THEN
    INSERT (query_date, user_id, category_name, events, share)
    VALUES (s.query_date, s.user_id, s.category_name, s.events, s.share)
"""

COUNTED = """
SELECT day, COUNT(*) AS row_count, COUNT(DISTINCT user_id) AS users, SUM(events) AS events
FROM `{daily_category_counts}`
WHERE day BETWEEN @first AND @last
GROUP BY day
"""

SHARED = """
SELECT query_date AS day, SUM(row_count) AS row_count, COUNT(*) AS users, SUM(events) AS events,
    COUNTIF(ABS(total - 1) > @tolerance) AS uneven
FROM (
    SELECT query_date, user_id, COUNT(*) AS row_count, SUM(events) AS events, SUM(share) AS total
    FROM `{user_category_shares}`
    WHERE query_date BETWEEN @first AND @last
    GROUP BY query_date, user_id
)
GROUP BY query_date
"""

# What is counted against what a count would find now, for the days on which they differ.
COMPARE = f"""
SELECT day, SUM(counted) AS counted, SUM(direct) AS direct, COUNTIF(counted > direct) AS beyond
FROM (
    SELECT COALESCE(c.day, d.day) AS day, IFNULL(c.events, 0) AS counted,
        IFNULL(d.events, 0) AS direct
    FROM (
        SELECT day, user_id, category_name, SUM(events) AS events
        FROM `{{daily_category_counts}}`
        WHERE day BETWEEN @first AND @last
        GROUP BY day, user_id, category_name
    ) AS c
    FULL JOIN ({_PAIRS}) AS d
    ON c.day = d.day AND c.user_id = d.user_id AND c.category_name = d.category_name
)
GROUP BY day
HAVING COUNTIF(counted != direct) > 0
ORDER BY day
"""

# The most read categories of the last day of a range, for a look at the result.
TOP_SHARES = """
SELECT query_date, category_name,
    SUM(events) AS pairs, COUNT(*) AS users, AVG(share) AS mean_share
FROM `{user_category_shares}`
WHERE query_date BETWEEN @first AND @last
GROUP BY query_date, category_name
QUALIFY ROW_NUMBER() OVER (PARTITION BY query_date ORDER BY SUM(events) DESC, category_name) <= 10
ORDER BY query_date, pairs DESC, category_name
"""


@dataclass(frozen=True, slots=True)
class Days:
    """Whole UTC days from ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def count(self) -> int:
        """How many days these are."""
        return (self.last - self.first).days + 1

    def spans(self, most: int) -> Iterator[Days]:
        """The same days in parts of at most so many, oldest first."""
        first = self.first
        while first <= self.last:
            last = min(first + timedelta(days=most - 1), self.last)
            yield Days(first, last)
            first = last + timedelta(days=1)

    def parameters(self) -> list[Any]:
        """``first``, ``last``, and the instants ``start`` (included) and ``finish`` (excluded)."""
        from google.cloud.bigquery import ScalarQueryParameter

        finish = self.last + timedelta(days=1)
        return [
            ScalarQueryParameter("first", "DATE", self.first),
            ScalarQueryParameter("last", "DATE", self.last),
            ScalarQueryParameter("start", "TIMESTAMP", midnight(self.first)),
            ScalarQueryParameter("finish", "TIMESTAMP", midnight(finish)),
        ]


@dataclass(frozen=True, slots=True)
class DayFigures:
    """What a partition holds now. ``events`` are pairs of an event and a category."""

    row_count: int = 0
    users: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class Replaced:
    """Partitions that were replaced, by day; a day on which nothing is counted is not there.

    ``wrong`` are the days whose rows are not what they must be, with what is wrong about them.
    """

    days: Mapping[date, DayFigures]
    wrong: Mapping[date, str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A day whose counts are not what counting it now gives.

    ``beyond``: rows with more events than there are.
    """

    counted: int
    direct: int
    beyond: int


def window(query_date: date, days: int = WINDOW_DAYS) -> Days:
    """The days whose events are the answer for ``query_date``: so many before it, and itself."""
    return Days(query_date - timedelta(days=days), query_date)


def replace_counts(warehouse: Warehouse, conn: Connection, days: Days) -> Replaced:
    """Count at most COUNT_SPAN days anew and replace their partitions, all in one statement.

    The counts are compared with the events afterwards. While a day still gains events they may
    differ rightly: then the day is counted once more, and must hold at least what was seen before
    that, for events and categories are never taken back. ``conn`` must be in autocommit mode.
    Raises google.api_core.exceptions and psycopg errors.
    """
    started = time.monotonic()
    run_merge(warehouse, conn, DAILY_COUNTS, COUNT, days.parameters())
    before = differences(warehouse, days)
    after: Mapping[date, Difference] = {}
    if before:
        run_merge(warehouse, conn, DAILY_COUNTS, COUNT, days.parameters())
        after = differences(warehouse, days)
    wrong = {
        day: f"{found.counted} pairs counted, the events hold {found.direct}"
        for day, found in after.items()
        if found.beyond or found.counted < _seen(before.get(day))
    }
    rows = warehouse.run(COUNTED, days.parameters()[:2])
    return Replaced(_figures(rows), wrong, time.monotonic() - started)


def replace_shares(warehouse: Warehouse, conn: Connection, dates: Days) -> Replaced:
    """Replace the shares of at most SHARE_SPAN query dates in one statement, from the counts.

    ``wrong`` are the dates with a user whose shares do not sum to 1. ``conn`` must be in autocommit
    mode. Raises google.api_core.exceptions and psycopg errors.
    """
    from google.cloud.bigquery import ScalarQueryParameter

    started = time.monotonic()
    bounds = dates.parameters()[:2]
    window_start = window(dates.first).first
    run_merge(
        warehouse,
        conn,
        SHARES,
        SHARE,
        [*bounds, ScalarQueryParameter("window_start", "DATE", window_start)],
    )
    tolerance = ScalarQueryParameter("tolerance", "FLOAT64", TOLERANCE)
    rows = list(warehouse.run(SHARED, [*bounds, tolerance]))
    wrong = {
        row.day: f"the shares of {row.uneven} users do not sum to 1" for row in rows if row.uneven
    }
    return Replaced(_figures(rows), wrong, time.monotonic() - started)


def differences(warehouse: Warehouse, days: Days) -> dict[date, Difference]:
    """The days whose counts differ from what the events and categories give at this moment."""
    rows = warehouse.run(COMPARE, days.parameters())
    return {row.day: Difference(row.counted, row.direct, row.beyond) for row in rows}


def top_shares(warehouse: Warehouse, days: Days) -> dict[date, list[tuple[str, int, int, float]]]:
    """At most ten categories of each query date: name, pairs, users, mean share among these.

    Most pairs first. A date without a share is not there.
    """
    found: dict[date, list[tuple[str, int, int, float]]] = {}
    for row in warehouse.run(TOP_SHARES, days.parameters()[:2]):
        shares = (row.category_name, row.pairs, row.users, row.mean_share)
        found.setdefault(row.query_date, []).append(shares)
    return found


def _seen(difference: Difference | None) -> int:
    """What the events held of a day when they were last compared with the counts, if they differed.

    A day on which they did not differ held at least its counts, which were then replaced.
    """
    return difference.direct if difference else 0


def _figures(rows: Any) -> dict[date, DayFigures]:
    return {row.day: DayFigures(row.row_count, row.users, row.events) for row in rows}
