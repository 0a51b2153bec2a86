"""What reading's tables hold, and how it differs from what they should.

Belongs here: queries and comparisons. Does not: what they should hold (``reading_input``).

Rows are compared one by one; of large tables their number and the sum of a digest of each row are,
in which a row too many, too few or other than expected shows, and rows only when those differ.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from assets.sinks.bigquery import Warehouse
from local.demos.reading_input import Category, Event, daily_counts, shares, within
from resources.bigquery import run

#: Shares are whole numbers divided once: what differs by more is wrong.
TOLERANCE = 1e-12
SHOWN = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: Rows above which a table is compared by digests, and users whose shares are compared at most.
MANY_ROWS = 20_000
SAMPLED_USERS = 500

_PROGRESS = """
SELECT
  (SELECT COUNT(DISTINCT message_id) FROM `{user_interaction_raw}`
   WHERE publish_time >= @since) AS interaction,
  (SELECT COUNT(DISTINCT message_id) FROM `{content_meta_raw}`
   WHERE publish_time >= @since) AS meta,
  (SELECT COUNT(*) FROM `{user_interaction}`) AS events,
  (SELECT COUNT(*) FROM `{content_meta}`) AS categories
"""
_COUNTED = "SELECT day, SUM(events) AS events FROM `{daily_category_counts}` GROUP BY day"
_SHARED = (
    "SELECT COUNT(*) AS n, COALESCE(SUM(events), 0) AS events FROM `{user_category_shares}` "
    "WHERE query_date = @query_date"
)
_EVENTS = "SELECT user_id, content_id, read_percent, updated_at FROM `{user_interaction}`"
_CATEGORIES = "SELECT content_id, category_name FROM `{content_meta}`"
_COUNTS = "SELECT day, user_id, category_name, events FROM `{daily_category_counts}`"
_PAIRS = (
    "SELECT user_id, category_name, events FROM `{user_category_shares}` "
    "WHERE query_date = @query_date"
)
_SHARES = (
    "SELECT user_id, category_name, share FROM `{user_category_shares}` "
    "WHERE query_date = @query_date AND user_id IN UNNEST(@users)"
)
_UNEVEN = """
SELECT COUNT(*) AS users FROM (
  SELECT user_id FROM `{user_category_shares}` WHERE query_date = @query_date
  GROUP BY user_id HAVING ABS(SUM(share) - 1) > 1e-9
)
"""
# Values as text without fractions, so that Python writes them alike.
_DIGESTS = """
SELECT COUNT(*) AS n,
  COALESCE(SUM(CAST(CONCAT('0x', SUBSTR(TO_HEX(MD5({text})), 1, 8)) AS INT64)), 0) AS digest
FROM ({rows})
"""
_TEXTS = {
    _EVENTS: "CONCAT(CAST(user_id AS STRING), '|', CAST(content_id AS STRING), '|', "
    "CAST(CAST(ROUND(read_percent * 1000) AS INT64) AS STRING), '|', "
    "CAST(UNIX_MICROS(updated_at) AS STRING))",
    _CATEGORIES: "CONCAT(CAST(content_id AS STRING), '|', category_name)",
    _COUNTS: "CONCAT(CAST(day AS STRING), '|', CAST(user_id AS STRING), '|', category_name, '|', "
    "CAST(events AS STRING))",
    _PAIRS: "CONCAT(CAST(user_id AS STRING), '|', category_name, '|', CAST(events AS STRING))",
}


@dataclass(frozen=True, slots=True)
class Progress:
    """Distinct accepted messages by kind, rows, and how many days or dates are not there yet."""

    messages: Mapping[str, int]
    events: int
    categories: int
    days_to_count: int
    shares_to_compute: int


class Expected:
    """What the tables have to hold: events and categories, and all that follows from them."""

    def __init__(
        self, events: frozenset[Event], categories: frozenset[Category], query_date: date
    ) -> None:
        self.events, self.categories, self.query_date = events, categories, query_date
        self.counts = daily_counts(events, categories)
        self.shares = shares(self.counts, query_date)
        self._by_day = Counter[date]()
        for (day, _, _), pairs in self.counts.items():
            self._by_day[day] += pairs
        self._pairs = sum(n for cell, n in self.counts.items() if within(cell, query_date))

    def busiest(self, among: frozenset[int]) -> int:
        """The user with most pairs in the window."""
        pairs = Counter[int]()
        for cell, events in self.counts.items():
            if cell[1] in among and within(cell, self.query_date):
                pairs[cell[1]] += events
        return min(pairs, key=lambda user: (-pairs[user], user))

    def progress(self, warehouse: Warehouse, since: datetime) -> Progress:
        """How far the tables have come; all is missing while they are not there."""
        from google.api_core.exceptions import NotFound

        day = [_parameter("query_date", "DATE", self.query_date)]
        try:
            [row] = _rows(warehouse, _PROGRESS, [_parameter("since", "TIMESTAMP", since)])
            counted = {found["day"]: found["events"] for found in _rows(warehouse, _COUNTED)}
            [shared] = _rows(warehouse, _SHARED, day)
        except NotFound:
            return Progress({}, 0, 0, len(self._by_day), 1)
        wanted = sum(map(len, self.shares.values())), self._pairs
        return Progress(
            {kind: int(row[kind]) for kind in ("interaction", "meta")},
            int(row["events"]),
            int(row["categories"]),
            sum(counted.get(d, 0) != self._by_day[d] for d in {*self._by_day, *counted}),
            int((shared["n"], shared["events"]) != wanted),
        )

    def problems(self, warehouse: Warehouse) -> Iterator[str]:
        """What the tables hold too much, too little, twice or wrong."""
        day = [_parameter("query_date", "DATE", self.query_date)]
        counts = frozenset((*cell, events) for cell, events in self.counts.items())
        pairs = Counter[tuple[int, str]]()
        for (counted, user, category), events in self.counts.items():
            if within((counted, user, category), self.query_date):
                pairs[user, category] += events
        yield from _compared(warehouse, "events", _EVENTS, self.events, text=_event_text)
        yield from _compared(warehouse, "categories", _CATEGORIES, self.categories)
        yield from _compared(warehouse, "daily counts", _COUNTS, counts)
        yield from _compared(
            warehouse,
            "pairs behind the shares",
            _PAIRS,
            frozenset((*pair, events) for pair, events in pairs.items()),
            parameters=day,
        )
        yield from self._wrong_shares(warehouse, day)
        yield from self._wrong_answers(warehouse)

    def _wrong_shares(self, warehouse: Warehouse, day: Sequence[Any]) -> Iterator[str]:
        from google.cloud.bigquery import ArrayQueryParameter

        # Any of them: ids say nothing of who reads what.
        users = sorted(self.shares)[:: max(1, len(self.shares) // SAMPLED_USERS)]
        stored: dict[int, dict[str, float]] = defaultdict(dict)
        asked = [*day, ArrayQueryParameter("users", "INT64", users)]
        for row in _rows(warehouse, _SHARES, asked):
            stored[row["user_id"]][row["category_name"]] = row["share"]
        wrong = [user for user in users if not _alike(stored[user], self.shares[user])]
        if wrong:
            user = wrong[0]
            yield (
                f"shares of {len(wrong):,} users on {self.query_date} are wrong, such as "
                f"{user}: {stored.get(user)}, expected {self.shares.get(user)}"
            )
        [uneven] = _rows(warehouse, _UNEVEN, day)
        if uneven["users"]:
            yield f"shares of {uneven['users']:,} users on {self.query_date} do not sum to 1"

    def _wrong_answers(self, warehouse: Warehouse) -> Iterator[str]:
        """The direct question, asked for the busiest user and a few others."""
        from assets.reading.answers import category_shares

        users = frozenset(self.shares)
        for user in (self.busiest(users), *islice(sorted(users), SHOWN)):
            answer = category_shares(warehouse.client, warehouse.dataset, user, self.query_date)
            found = answer.shares
            if not _alike(found, self.shares[user]):
                yield (
                    f"the answer for user {user} on {self.query_date} is {found}, "
                    f"expected {self.shares[user]}"
                )


def left_by_others(warehouse: Warehouse) -> tuple[frozenset[Event], frozenset[Category]]:
    """Events and categories that are there already; nothing where there are no tables yet."""
    from google.api_core.exceptions import NotFound

    with suppress(NotFound):
        return frozenset(_events(warehouse)), frozenset(_categories(warehouse))
    return frozenset(), frozenset()


def _events(warehouse: Warehouse) -> list[Event]:
    return [row.values() for row in _rows(warehouse, _EVENTS)]


def _categories(warehouse: Warehouse) -> list[Category]:
    return [row.values() for row in _rows(warehouse, _CATEGORIES)]


def _compared(
    warehouse: Warehouse,
    what: str,
    sql: str,
    expected: frozenset[Any],
    *,
    text: Callable[[Any], str] = lambda row: "|".join(map(str, row)),
    parameters: Sequence[Any] = (),
) -> Iterator[str]:
    """How the rows of a query differ from those expected; ``text`` as `_TEXTS` writes a row."""
    if len(expected) > MANY_ROWS:
        digests = _DIGESTS.replace("{text}", _TEXTS[sql]).replace("{rows}", sql)
        [found] = _rows(warehouse, digests, parameters)
        if (found["n"], found["digest"]) == (len(expected), digest(map(text, expected))):
            return
    rows = [row.values() for row in _rows(warehouse, sql, parameters)]
    yield from _difference(what, rows, expected)


def digest(texts: Iterable[str]) -> int:
    """The sum of the first 32 bits of each text's MD5, as `_DIGESTS` computes it."""
    md5 = hashlib.md5
    return sum(
        int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[:4]) for text in texts
    )


def _event_text(event: Event) -> str:
    user_id, content_id, read_percent, updated_at = event
    micros = (updated_at - _EPOCH) // _MICROSECOND
    return f"{user_id}|{content_id}|{_rounded(read_percent * 1000)}|{micros}"


def _rounded(value: float) -> int:
    """Halves away from zero, as BigQuery's ROUND has them."""
    return math.floor(value + 0.5)


def _rows(warehouse: Warehouse, sql: str, parameters: Sequence[Any] = ()) -> Any:
    return run(warehouse.client, warehouse.sql(sql), parameters)


def _parameter(name: str, kind: str, value: date | datetime) -> Any:
    from google.cloud.bigquery import ScalarQueryParameter

    return ScalarQueryParameter(name, kind, value)


def _difference(what: str, found: Sequence[Any], expected: frozenset[Any]) -> Iterator[str]:
    """Rows that are missing, too many, or there more than once."""
    once = set(found)
    if len(once) != len(found):
        yield f"{what}: {len(found) - len(once):,} rows are there more than once"
    for word, rows in (("missing", expected - once), ("not expected", once - expected)):
        if rows:
            some = ", ".join(str(row) for row in islice(rows, SHOWN))
            yield f"{what}: {len(rows):,} {word}, such as {some}"


def _alike(found: Mapping[str, float], expected: Mapping[str, float]) -> bool:
    return found.keys() == expected.keys() and all(
        abs(found[category] - share) <= TOLERANCE for category, share in expected.items()
    )
