"""What BigQuery would bill for a statement, were its tables as large as a load makes them.

Belongs here: tables of a load, bytes of a statement by the on-demand rule, prices. Does not: which
statements are sent how often (``integration/reading/test_bill.py``).

The rule: of each table that a statement names, the columns that it refers to in the partitions that
its bounds admit, 10 MB at least; a MERGE that may change rows is billed the whole of its target's
partitions besides. https://cloud.google.com/bigquery/pricing,
https://cloud.google.com/bigquery/docs/reference/standard-sql/dml-syntax#on-demand-query-size-calculation
Of rows that are sought by the first clustering column, that column's blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlglot
from sqlglot import exp

from assets.reading.tables import WAREHOUSE

#: US prices of 2026 in dollars: per TiB read, GiB written by the Storage Write API beyond the free
#: 2 TiB, GiB stored for a month, of the last 90 days and of before.
READ, WRITTEN, STORED, STORED_LONG = 6.25, 0.025, 0.02, 0.01
FREE_WRITTEN, GIB, TIB = 2 * 2**40, 2**30, 2**40
LEAST = 10 * 2**20

_TEXT = {
    "message_id": 18, "ordering_key": 0, "attributes": 0, "session_id": 38, "micro_batch": 46,
    "source": 28, "category_name": 14,
}  # fmt: skip
_TABLES = {table.name: table for table in WAREHOUSE}
_BOUNDS = (exp.Between, exp.In, exp.GTE, exp.GT, exp.LTE, exp.LT)


@dataclass(frozen=True, slots=True)
class Load:
    """So many events a second for so many days up to today, half of which is over.

    A category comes with every 100th event. Half of the events count, in two categories each, and
    a user has two events of a category a day.
    """

    rate: float
    days: int
    today: date
    micro_batch: float

    def rows(self, table: str, day: date | None) -> float:
        """The rows on a day; all of them where there are no days."""
        a_day = self.rate * 86_400
        if day is not None and not self.today - timedelta(days=self.days) < day <= self.today:
            return 0.0
        part = 0.5 if day == self.today else 1.0
        share = {
            "user_interaction": 1.0,
            "user_interaction_raw": 1.0,
            "content_meta_raw": 0.01,
            "daily_category_counts": 0.5,
            "user_category_shares": 4.0,
        }
        if table == "content_meta":
            return min(a_day * 0.01 * self.days, 2_000_000)
        return a_day * share[table] * part


def width(table: str, columns: set[str] | None = None) -> int:
    """Bytes of a row's columns."""
    wanted = columns if columns is not None else set(_TABLES[table].names)
    return sum(_TEXT.get(name, 8) for name in wanted)


def billed(sql: str, parameters: Mapping[str, Any], load: Load) -> int:
    """Bytes that a statement is billed."""
    tree = sqlglot.parse_one(sql, dialect="bigquery")
    return sum(_billed(tree, table, parameters, load) for table in tree.find_all(exp.Table)
               if table.name in _TABLES)  # fmt: skip


def _billed(tree: Any, table: exp.Table, parameters: Mapping[str, Any], load: Load) -> int:
    name, alias = table.name, table.alias_or_name
    target = isinstance(tree, exp.Merge) and table.parent is tree
    select = None if target else table.find_ancestor(exp.Select)
    scope = tree if select is None else select
    columns = {
        column.name
        for column in scope.find_all(exp.Column)
        if column.name in _TABLES[name].names
        and (column.table == alias or (not column.table and select is not None))
    }
    bounded = scope.args["where"].this if select is not None and scope.args.get("where") else None
    conditions = [tree.args["on"], *tree.find_all(exp.When)] if target else [bounded]
    predicates = [one for part in conditions if part is not None for one in part.find_all(*_BOUNDS)]
    days = list(_days(name, alias, predicates, parameters, load))
    rows = sum(load.rows(name, day) for day in days)
    cluster = _TABLES[name].cluster[:1]
    sought = [] if bounded is None else list(bounded.find_all(exp.EQ))
    if any((one.this.name,) == cluster and isinstance(one.expression, exp.Parameter)
           for one in sought if isinstance(one.this, exp.Column)):  # fmt: skip
        rows = min(rows, load.micro_batch)
    read = max(LEAST, int(rows * width(name, columns)))
    changes = target and any(one.args["matched"] or one.args.get("source")
                             for one in tree.find_all(exp.When))  # fmt: skip
    return read + (int(rows * width(name)) if changes else 0)


def _days(
    name: str, alias: str, predicates: list[Any], parameters: Mapping[str, Any], load: Load
) -> Iterator[date | None]:
    partition = _TABLES[name].partition
    if not partition:
        yield None
        return
    own = [one for one in predicates if (column := one.find(exp.Column)) is not None
           and column.name == partition and column.table in {"", alias}]  # fmt: skip
    for back in range(load.days):
        day = load.today - timedelta(days=back)
        if all(_admits(one, day, parameters) for one in own):
            yield day


def _admits(bound: Any, day: date, parameters: Mapping[str, Any]) -> bool:
    values = [_day(parameters[one.name]) for one in bound.find_all(exp.Parameter)]
    if not values:  # a constant, before any day that is stored
        return True
    if isinstance(bound, exp.Between):
        low, high = values
        return bool(low <= day <= high)
    if isinstance(bound, exp.In):
        (days,) = values
        return day in days
    (value,) = values
    if isinstance(bound, (exp.GTE, exp.GT)):
        return bool(day >= value)
    return bool(day < value if isinstance(bound, exp.LT) else day <= value)


def _day(value: Any) -> Any:
    if isinstance(value, list):
        return {_day(one) for one in value}
    return value.date() if isinstance(value, datetime) else value
