"""`make demo` of reading finds what is wrong in the tables, row by row and by digests."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from assets.reading.tables import warehouse_of
from local.demos import reading_found
from local.demos.reading_found import Expected
from resources.bigquery import BigQueryResource, run

pytestmark = pytest.mark.servers("bigquery")

DAY = date(2022, 3, 15)
EVENTS = [
    (-(2**63), 2**63 - 1, 100.00000000000001, datetime(2022, 3, 15, 23, 59, 59, 999999, UTC)),
    (5, -7, 90.5005, datetime(2022, 3, 1, tzinfo=UTC)),
    (5, -7, 2400.0, datetime(2022, 3, 2, 0, 0, 0, 1000, UTC)),
    (6, -7, 0.0, datetime(2022, 3, 2, tzinfo=UTC)),
]
CATEGORIES = [(-7, "life"), (-7, "पारिवारिक"), (2**63 - 1, 'the "best", it\'s said')]


def insert(warehouse, table, columns, rows):
    def literal(value):
        if isinstance(value, str):
            return "'" + value.replace("'", r"\'") + "'"
        if isinstance(value, datetime):
            return f"TIMESTAMP '{value:%Y-%m-%d %H:%M:%S.%f}+00'"
        return f"DATE '{value}'" if isinstance(value, date) else repr(value)

    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    name = warehouse.table(table)
    run(warehouse.client, f"INSERT INTO `{name}` ({', '.join(columns)}) VALUES {values}")


@pytest.fixture
def warehouse(env):
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with bigquery.client() as client:
        made = warehouse_of(client, env["READING_DATASET"])
        made.ensure()
        yield made


def test_right_tables_have_no_problems_and_wrong_ones_have(warehouse, monkeypatch):
    expected = Expected(frozenset(EVENTS), frozenset(CATEGORIES), DAY)
    nothing = expected.progress(warehouse, datetime(2000, 1, 1, tzinfo=UTC))
    assert (nothing.events, nothing.days_to_count, nothing.shares_to_compute) == (0, 3, 1)
    merged = ("source", "ingested_at")
    came = ("x", datetime(2026, 11, 22, tzinfo=UTC))
    event = ("user_id", "content_id", "read_percent", "updated_at")
    insert(warehouse, "user_interaction", (*event, *merged), [(*row, *came) for row in EVENTS])
    pair = ("content_id", "category_name")
    insert(warehouse, "content_meta", (*pair, *merged), [(*row, *came) for row in CATEGORIES])
    counts = [(*cell, events) for cell, events in expected.counts.items()]
    named = ("day", "user_id", "category_name", "events")
    insert(warehouse, "daily_category_counts", named, counts)
    shares = [
        (DAY, 5, "life", 2, 0.5),
        (DAY, 5, "पारिवारिक", 2, 0.5),
        (DAY, -(2**63), CATEGORIES[2][1], 1, 1.0),
    ]
    columns = ("query_date", "user_id", "category_name", "events", "share")
    insert(warehouse, "user_category_shares", columns, shares)

    done = expected.progress(warehouse, datetime(2000, 1, 1, tzinfo=UTC))
    assert (done.events, done.categories) == (len(EVENTS), len(CATEGORIES))
    assert (done.days_to_count, done.shares_to_compute) == (0, 0)
    assert list(expected.problems(warehouse)) == []
    with monkeypatch.context() as patched:
        patched.setattr(reading_found, "MANY_ROWS", 0)
        patched.setattr(reading_found, "_difference", lambda *_: pytest.fail("rows were read"))
        assert list(expected.problems(warehouse)) == []

    insert(warehouse, "user_interaction", (*event, *merged), [(*EVENTS[3], *came)])
    insert(warehouse, "user_category_shares", columns, [(DAY, 5, "more", 1, 0.2)])
    for many in (reading_found.MANY_ROWS, 0):
        monkeypatch.setattr(reading_found, "MANY_ROWS", many)
        problems = "\n".join(expected.problems(warehouse))
        assert "events: 1 rows are there more than once" in problems
        assert "pairs behind the shares: 1 not expected, such as (5, 'more', 1)" in problems
        assert "shares of 1 users on 2022-03-15 are wrong" in problems
        assert "do not sum to 1" in problems
