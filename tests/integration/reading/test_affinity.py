"""Counts and shares on the embedded BigQuery, against a recount of the events in Python."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest
import sqlglot
from google.cloud.bigquery import Row, ScalarQueryParameter
from sqlglot import exp

from assets.frame.tables import Table
from assets.reading.affinity import computation as affinity
from assets.reading.affinity.computation import Days, replace_counts, replace_shares, window
from assets.reading.answers import ANSWER, category_shares
from assets.reading.merges import run_merge
from assets.reading.tables import DAILY_COUNTS, INTERACTIONS, META, SHARES
from resources.bigquery import BigQueryResource, run
from tests.integration.reading.affinity_world import (
    EDGE,
    EVENT_SCHEMA,
    LAST,
    NOBODY,
    READER,
    World,
    at,
    fill,
    load,
    world_of,
)

pytestmark = pytest.mark.servers("postgres", "bigquery")

WEEK = timedelta(days=7)
REAL = Path(os.environ.get("QUINTET_DATA_DIR", "/nonexistent")) / "reading"
COUNT_ROWS = "SELECT COUNT(*) AS n FROM `{daily_category_counts}`"
SHARES_OF_DATE = """
SELECT user_id, category_name, share FROM `{user_category_shares}`
WHERE query_date = @day AND MOD(ABS(user_id), 97) = 0
"""
SHARE_ROWS = "SELECT COUNT(*) AS n, SUM(share) AS total FROM `{user_category_shares}`"


@pytest.fixture
def world(env: dict[str, str]) -> Iterator[World]:
    with world_of(env) as made:
        yield made


@pytest.fixture
def conn(env: dict[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


def stored(world: World, table: Table) -> Iterator[Row]:
    return iter(run(world.warehouse.client, f"SELECT * FROM `{world.warehouse.table(table.name)}`"))


def stored_counts(world: World) -> dict[date, dict[tuple[int, str], int]]:
    found: dict[date, dict[tuple[int, str], int]] = {}
    for row in run(
        world.warehouse.client, world.warehouse.sql("SELECT * FROM `{daily_category_counts}`")
    ):
        rows = found.setdefault(row.day, {})
        assert (row.user_id, row.category_name) not in rows, "a row is there twice"
        rows[row.user_id, row.category_name] = row.events
    return found


def stored_shares(world: World) -> dict[date, dict[int, dict[str, float]]]:
    found: dict[date, dict[int, dict[str, float]]] = {}
    for row in run(
        world.warehouse.client, world.warehouse.sql("SELECT * FROM `{user_category_shares}`")
    ):
        rows = found.setdefault(row.query_date, {}).setdefault(row.user_id, {})
        assert row.category_name not in rows, "a row is there twice"
        rows[row.category_name] = row.share
    return found


def test_counts_shares_and_direct_answers_equal_a_recount(world, conn):
    fill(world)
    days = Days(LAST - timedelta(days=41), LAST + timedelta(days=1))
    counted = replace_counts(world.warehouse, conn, days)
    expected = world.counts()
    assert stored_counts(world) == expected
    assert not counted.wrong
    assert {day: figures.events for day, figures in counted.days.items()} == {
        day: rows.total() for day, rows in expected.items()
    }

    dates = Days(LAST - timedelta(days=7), LAST)
    shared = replace_shares(world.warehouse, conn, dates)
    assert not shared.wrong
    found = stored_shares(world)
    assert set(found) == {LAST - timedelta(days=back) for back in range(8)} == set(shared.days)
    for query_date, users in found.items():
        recount = world.shares(query_date)
        assert users.keys() == recount.keys()
        for user, shares in users.items():
            assert shares == pytest.approx(recount[user], abs=1e-12)
    assert {1000, 1002} <= found[LAST].keys()
    assert not {1001, 1003, 1004, 1005} & found[LAST].keys()

    client, dataset = world.warehouse.client, world.warehouse.dataset
    for user in (READER, EDGE, 1000, 1001, 1002, 1003, 1004, 1005, NOBODY):
        answer = category_shares(client, dataset, user, LAST).shares
        assert answer == pytest.approx(found[LAST].get(user, {}), abs=1e-12)
        assert not answer or sum(answer.values()) == pytest.approx(1, abs=1e-12)

    # Again, and a date alone: nothing changes.
    replace_counts(world.warehouse, conn, Days(LAST, LAST))
    replace_shares(world.warehouse, conn, Days(LAST, LAST))
    assert stored_counts(world) == expected
    assert stored_shares(world) == found


def test_a_partition_is_replaced_whole_and_no_other_is_touched(world, conn):
    fill(world)
    day, other = LAST, LAST - timedelta(days=1)
    both = Days(other, day)
    replace_counts(world.warehouse, conn, both)
    replace_shares(world.warehouse, conn, both)
    shares_before = stored_shares(world)
    for table, values in ((DAILY_COUNTS, "77, 'stale', 5"), (SHARES, "77, 'old', 5, 0.5")):
        run(
            world.warehouse.client,
            f"INSERT INTO `{world.warehouse.table(table.name)}` "
            f"SELECT d, {values} FROM UNNEST([DATE '{day}', DATE '{other}']) AS d",
        )
    world.add_categories({(7000, "late")})
    world.add_events([(1004, 7000, 95.0, at(day))])
    replace_shares(world.warehouse, conn, Days(day, day))
    replace_counts(world.warehouse, conn, Days(day, day))
    counts, shares = stored_counts(world), stored_shares(world)
    assert counts[day] == world.counts()[day]
    assert counts[day][1005, "late"] == counts[day][1004, "late"] == 1
    assert counts[other].pop((77, "stale")) == 5
    assert counts[other] == world.counts()[other]
    assert shares[day][77] == {"stale": 1.0}
    assert shares[other].pop(77) == {"old": 0.5}
    assert shares[other] == shares_before[other]
    replace_counts(world.warehouse, conn, both)
    replace_shares(world.warehouse, conn, both)
    assert stored_counts(world)[other] == world.counts()[other]
    assert stored_shares(world)[other].keys() == shares[other].keys()


def test_what_is_wrong_is_told(world, conn, monkeypatch):
    fill(world, 200)
    days = Days(LAST, LAST)
    replace = run_merge
    monkeypatch.setattr(affinity, "run_merge", lambda *_: None)
    lost = replace_counts(world.warehouse, conn, days)
    assert set(lost.wrong) == {LAST}

    def replace_and_gain(*arguments):
        replace(*arguments)
        world.add_events([(1002, 1, 99.0, at(LAST, minutes=len(world.events)))])

    monkeypatch.setattr(affinity, "run_merge", replace_and_gain)
    gained = replace_counts(world.warehouse, conn, days)
    assert not gained.wrong, "a day that gains events while it is counted is not wrong"
    assert affinity.differences(world.warehouse, days).keys() == {LAST}

    monkeypatch.setattr(affinity, "run_merge", lambda *_: None)
    run(
        world.warehouse.client,
        f"INSERT INTO `{world.warehouse.table(SHARES.name)}` "
        f"VALUES (DATE '{LAST}', 1, 'half', 1, 0.5)",
    )
    assert set(replace_shares(world.warehouse, conn, days).wrong) == {LAST}


def test_a_reader_never_sees_a_day_empty_or_half(world, conn):
    """Polls both tables while, round by round, every user gains a row and every share changes."""
    users, rounds = 5_000, 8
    frame = pl.DataFrame(
        {
            "user_id": range(users),
            "content_id": [1] * users,
            "read_percent": [95.0] * users,
            "updated_at": [at(LAST)] * users,
        },
        schema=EVENT_SCHEMA,
    )
    load(world.warehouse.client, world.warehouse.table(INTERACTIONS.name), frame)
    days = Days(LAST, LAST)
    done = threading.Event()
    counted: list[int] = []
    shared: list[tuple[int, float]] = []

    def poll() -> None:
        with BigQueryResource(
            project=world.warehouse.client.project,
            api_endpoint=os.environ["BIGQUERY_API_ENDPOINT"],
        ).client() as client:
            while not done.is_set():
                (row,) = run(client, world.warehouse.sql(COUNT_ROWS))
                counted.append(row.n)
                (row,) = run(client, world.warehouse.sql(SHARE_ROWS))
                shared.append((row.n, row.total))

    poller = threading.Thread(target=poll)
    for number in range(rounds):
        world.add_categories({(1, f"c{number}")})
        replace_counts(world.warehouse, conn, days)
        replace_shares(world.warehouse, conn, days)
        if number == 0:
            poller.start()
    done.set()
    poller.join()
    versions = {users * number for number in range(1, rounds + 1)}
    assert set(counted) <= versions
    assert {number for number, _ in shared} <= versions
    assert all(total == pytest.approx(users) for _, total in shared)
    assert len(set(counted)) > 2, "the reader must have looked in between"
    assert len(set(shared)) > 2


@pytest.mark.skipif(not REAL.exists(), reason="about the real files of QUINTET_DATA_DIR")
def test_the_real_month_equals_a_recount(world, conn):
    written = pl.col("updated_at")
    events = (
        pl.read_csv(REAL / "user_interaction_calibrated.csv.gz")
        .with_columns(
            pl.coalesce(
                written.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False),
                written.str.to_datetime("%Y-%m-%d", time_unit="us", strict=False),
            ).dt.replace_time_zone("UTC"),
            pl.col("read_percent").cast(pl.Float64),
        )
        .select(*EVENT_SCHEMA)
        .unique()
    )
    meta = pl.read_csv(REAL / "content_meta_calibrated.csv.gz").unique()
    load(world.warehouse.client, world.warehouse.table(INTERACTIONS.name), events)
    load(world.warehouse.client, world.warehouse.table(META.name), meta)
    first, last = events["updated_at"].min().date(), events["updated_at"].max().date()
    counted = replace_counts(world.warehouse, conn, Days(first, last))
    # The first day, the last one, and a date whose window reaches beyond the events.
    asked = [Days(first, first), Days(last, last), Days(last + WEEK, last + WEEK)]
    shared = {}
    for dates in asked:
        replaced = replace_shares(world.warehouse, conn, dates)
        assert not replaced.wrong
        shared |= replaced.days
    assert not counted.wrong

    pairs = events.filter(pl.col("read_percent") > 90).join(meta, on="content_id")
    expected = (
        pairs.select("user_id", "category_name", day=pl.col("updated_at").dt.date())
        .with_columns(query_date=pl.date_ranges("day", pl.col("day").dt.offset_by("14d")))
        .explode("query_date")
        .filter(pl.col("query_date").is_in([dates.first for dates in asked]))
        .group_by("query_date", "user_id", "category_name")
        .agg(events=pl.len().cast(pl.Int64))
        .with_columns(share=pl.col("events") / pl.col("events").sum().over("query_date", "user_id"))
    )
    assert {day: found.row_count for day, found in shared.items()} == dict(
        expected.group_by("query_date").len().iter_rows()
    )
    chance = random.Random(1)
    readers = pairs.filter(pl.col("user_id").abs() % 97 == 0)["user_id"].unique().sort()
    for query_date in shared:
        rows = expected.filter(
            pl.col("query_date") == query_date, pl.col("user_id").abs() % 97 == 0
        )
        stored = {
            (row.user_id, row.category_name): row.share
            for row in run(
                world.warehouse.client,
                world.warehouse.sql(SHARES_OF_DATE),
                [ScalarQueryParameter("day", "DATE", query_date)],
            )
        }
        recount = {(user, name): share for _, user, name, _, share in rows.iter_rows()}
        assert stored.keys() == recount.keys()
        assert all(abs(share - recount[key]) <= 1e-12 for key, share in stored.items())
        for user in (readers[chance.randrange(readers.len())] for _ in range(3)):
            answer = category_shares(
                world.warehouse.client, world.warehouse.dataset, user, query_date
            ).shares
            assert answer == pytest.approx(
                {name: share for (one, name), share in recount.items() if one == user}, abs=1e-12
            )


def test_a_percentage_that_progresses_counts_once(world, conn):
    """The largest of each user, content and time; the others are kept, and count nowhere."""
    moment = at(LAST, hours=10)
    world.add_events(
        [
            (1, 2, 50.0, moment), (1, 2, 92.0, moment), (1, 2, 93.0, moment),
            (1, 2, 95.0, at(LAST, hours=11)), (1, 3, 80.0, moment), (1, 3, 89.0, moment),
            (2, 2, 91.0, moment),
        ]
    )  # fmt: skip
    world.add_categories([(2, "drama"), (2, "life"), (3, "horror")])
    assert replace_counts(world.warehouse, conn, Days(LAST, LAST)).days[LAST].events == 6
    assert not replace_shares(world.warehouse, conn, Days(LAST, LAST)).wrong
    found = category_shares(world.warehouse.client, world.warehouse.dataset, 1, LAST)
    assert [(one.category, one.events) for one in found.categories] == [("drama", 2), ("life", 2)]
    assert world.shares(LAST)[1] == found.shares


def test_what_is_read_grows_with_the_window_not_with_the_table(world):
    """Counts the day partitions, and their rows, that the bounds of the direct question admit."""
    where = sqlglot.parse_one(ANSWER, dialect="bigquery").find(exp.Where).this
    bounds = " AND ".join(
        part.sql(dialect="bigquery")
        for part in where.flatten()
        if any(column.name == "updated_at" for column in part.find_all(exp.Column))
    )
    admitted = world.warehouse.sql(
        "SELECT COUNT(DISTINCT DATE(updated_at)) AS days, COUNT(*) AS n "
        f"FROM `{{user_interaction}}` WHERE {bounds}"
    )
    held = world.warehouse.sql(
        "SELECT COUNT(DISTINCT DATE(updated_at)) AS days FROM `{user_interaction}`"
    )
    found = []
    for first, days in ((LAST - timedelta(days=19), 20), (LAST - timedelta(days=419), 400)):
        world.add_events(
            (user, 1, 95.0, at(first + timedelta(days=day)))
            for day in range(days)
            for user in range(3)
        )
        (row,) = run(world.warehouse.client, admitted, window(LAST).parameters()[2:])
        (table,) = run(world.warehouse.client, held)
        found.append((table.days, row.days, row.n))
    assert found == [(20, 15, 45), (420, 15, 45)]


def test_a_million_events_over_15_query_dates_take_seconds(world, conn):
    rows = 1_000_000
    chance = random.Random(9)
    start = at(LAST - timedelta(days=22))
    base = pl.select(n=pl.int_range(rows, dtype=pl.Int64))
    frame = base.select(
        user_id=(pl.col("n") * 7_919) % 150_000,
        content_id=(pl.col("n") * 104_729) % 60_000,
        read_percent=((pl.col("n") * 31) % 101).cast(pl.Float64),
        updated_at=pl.lit(start) + pl.duration(seconds=(pl.col("n") * 1_987) % (23 * 86_400)),
    )
    load(world.warehouse.client, world.warehouse.table(INTERACTIONS.name), frame)
    meta = pl.DataFrame(
        [(content, f"c{chance.randrange(40)}") for content in range(0, 60_000, 2)],
        schema={"content_id": pl.Int64, "category_name": pl.String},
        orient="row",
    )
    load(world.warehouse.client, world.warehouse.table(META.name), meta)
    began = time.monotonic()
    for _ in range(2):  # into empty partitions, then over full ones
        counted = replace_counts(world.warehouse, conn, Days(LAST - timedelta(days=22), LAST))
        shared = replace_shares(world.warehouse, conn, Days(LAST - timedelta(days=14), LAST))
        print(f"counts {counted.seconds:.2f} s, shares {shared.seconds:.2f} s")
    seconds = time.monotonic() - began
    expected = (
        frame.filter(pl.col("read_percent") > 90)
        .join(meta, on="content_id")
        .filter(pl.col("updated_at") >= at(LAST - timedelta(days=14)))
    )
    assert shared.days[LAST].events == expected.height
    assert shared.days[LAST].users == expected["user_id"].n_unique()
    assert not counted.wrong
    assert not shared.wrong
    assert seconds < 45
