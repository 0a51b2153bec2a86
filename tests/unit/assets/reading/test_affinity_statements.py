"""What the statements of counts, shares and answers read grows with the window, not the table.

BigQuery reads the partitions that bounds on the bare partition column admit, when the bounds are
constants of the query: here, its parameters.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from assets.reading import answers as answer
from assets.reading.affinity import computation as affinity
from assets.reading.affinity.computation import COUNT_SPAN, SHARE_SPAN, Days, window
from assets.reading.answers import category_shares
from assets.reading.tables import WAREHOUSE

STATEMENTS = {
    "count": affinity.COUNT,
    "share": affinity.SHARE,
    "counted": affinity.COUNTED,
    "shared": affinity.SHARED,
    "compare": affinity.COMPARE,
    "top_shares": affinity.TOP_SHARES,
    "answer": answer.ANSWER,
    "answer by day": answer.BY_DAY,
}
PARTITIONS = {table.name: table.partition for table in WAREHOUSE if table.partition}


def parsed(name: str) -> exp.Expr:
    return sqlglot.parse_one(
        STATEMENTS[name].format(**{table.name: table.name for table in WAREHOUSE}),
        dialect="bigquery",
    )


def bounded(condition: exp.Expression | None, column: str, alias: str) -> bool:
    """Whether the condition keeps a table's partition column between parameters, at both ends."""
    ends: set[str] = set()
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    for part in parts:
        bare = part is not None and isinstance(part.this, exp.Column) and part.this.name == column
        if not bare or part.this.table not in {"", alias}:
            continue
        values = [value for key, value in part.args.items() if key != "this" and value]
        if not all(isinstance(value, exp.Parameter) for value in values):
            continue
        if isinstance(part, (exp.Between, exp.EQ)):
            ends |= {"low", "high"}
        elif isinstance(part, (exp.GT, exp.GTE)):
            ends.add("low")
        elif isinstance(part, (exp.LT, exp.LTE)):
            ends.add("high")
    return ends == {"low", "high"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_read_of_a_partitioned_table_is_bounded(name):
    tree = parsed(name)
    read = 0
    for table in tree.find_all(exp.Table):
        if table.name not in PARTITIONS or table.parent is tree:
            continue
        select = table.find_ancestor(exp.Select)
        condition = select.args["where"].this
        assert bounded(condition, PARTITIONS[table.name], table.alias_or_name), table
        read += 1
    assert read


@pytest.mark.parametrize("name", ["count", "share"])
def test_a_replacement_touches_no_partition_but_those_asked_for(name):
    merge = parsed(name)
    column = PARTITIONS[merge.this.name]
    looking = [
        when for when in merge.find_all(exp.When) if when.args["matched"] or when.args["source"]
    ]
    assert len(looking) == 2
    for when in looking:
        assert bounded(when.args["condition"], column, "t")


def test_the_window_has_fifteen_days_and_both_ends():
    days = window(date(2022, 3, 15))
    assert (days.first, days.last, days.count) == (date(2022, 3, 1), date(2022, 3, 15), 15)
    bounds = {parameter.name: parameter.value for parameter in days.parameters()}
    assert str(bounds["start"]) == "2022-03-01 00:00:00+00:00"
    assert str(bounds["finish"]) == "2022-03-16 00:00:00+00:00"


@pytest.mark.parametrize("most", [COUNT_SPAN, SHARE_SPAN])
@pytest.mark.parametrize("count", [1, 15, 16, 100, 101, 300])
def test_a_long_range_is_cut_into_spans(count, most):
    days = Days(date(2020, 1, 1), date.fromordinal(date(2020, 1, 1).toordinal() + count - 1))
    spans = list(days.spans(most))
    assert len(spans) == -(-count // most)
    assert max(span.count for span in spans) <= most
    covered = [
        day for span in spans for day in range(span.first.toordinal(), span.last.toordinal() + 1)
    ]
    assert covered == list(range(days.first.toordinal(), days.last.toordinal() + 1))


@pytest.mark.parametrize(
    ("user_id", "query_date", "message"),
    [
        ("7", date(2022, 3, 1), "integer"),
        (True, date(2022, 3, 1), "integer"),
        (7.0, date(2022, 3, 1), "integer"),
        (None, date(2022, 3, 1), "integer"),
        (2**63, date(2022, 3, 1), "64 bits"),
        (-(2**63) - 1, date(2022, 3, 1), "64 bits"),
        (7, "2022-03-01", "date"),
        (7, datetime(2022, 3, 1), "date"),  # noqa: DTZ001
        (7, None, "date"),
        (7, date.min, "no 14 days end on"),
        (7, date.max, "no 14 days end on"),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_asked(user_id, query_date, message):
    nobody: Any = None
    with pytest.raises(ValueError, match=message):
        category_shares(nobody, "reading", user_id, query_date)
