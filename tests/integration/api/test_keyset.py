"""Pages of real tables: every row once, whatever ties there are and whoever writes meanwhile."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, fields

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resources.keyset import BLOCK_ROWS, By, Listing

pytestmark = pytest.mark.servers("postgres")
SETTINGS = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@dataclass(frozen=True)
class Row:
    key: int
    title: str | None
    score: float | None
    day: int


#: Few values, so that most rows tie; accents and cases that collations order in their own ways.
ROWS = st.lists(
    st.builds(
        Row,
        st.integers(),
        st.sampled_from([None, "", "a", "A", "ä", "b", "\U0001f600"]),
        st.sampled_from([None, -1.5, 0.1, math.inf, 3e300]),
        st.integers(0, 1),
    ),
    max_size=30,
)
ORDER = st.lists(
    st.sampled_from(["title", "score", "day"]).flatmap(
        lambda name: st.builds(
            By,
            st.just(name),
            st.just({"title": "text", "score": "double precision", "day": "bigint"}[name]),
            st.booleans(),
            st.just(name != "day"),
        )
    ),
    max_size=3,
    unique_by=lambda by: by.column,
)


@pytest.fixture
def postgres(env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE listed_row (key bigint, title text, score float8, day int)"
        )
        yield connection


def fill(postgres, rows):
    postgres.execute("TRUNCATE listed_row")
    with postgres.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO listed_row VALUES (%s, %s, %s, %s)",
            [(n, one.title, one.score, one.day) for n, one in enumerate(rows)],
        )


def listing(order, descending=False):
    names = ", ".join(one.name for one in fields(Row))
    by_key = By("key", "bigint", descending)
    return Listing(Row, f"SELECT {names} FROM listed_row", (*order, by_key))


def paged(postgres, of, limits):
    cursor, found, n = None, [], 0
    while True:
        page = of.page(postgres, limits[n % len(limits)], cursor)
        assert page.next is None or len(page.rows) == limits[n % len(limits)]
        found += page.rows
        cursor, n = page.next, n + 1
        if cursor is None:
            return found


def ordered(rows, order):
    """What Postgres must give, by Python's own sort: a pass for each column, the last one first."""
    for by in reversed(order):

        def value(row, by=by):
            found = getattr(row, by.column)
            return found.encode() if isinstance(found, str) else found

        known = [row for row in rows if value(row) is not None]
        unknown = [row for row in rows if value(row) is None]
        rows = sorted(known, key=value, reverse=by.descending) + unknown
    return rows


@SETTINGS
@given(ROWS, ORDER, st.lists(st.integers(1, 7), min_size=1, max_size=3), st.booleans())
def test_pages_are_the_list(postgres, rows, order, limits, descending):
    rows = [Row(n, one.title, one.score, one.day) for n, one in enumerate(rows)]
    fill(postgres, rows)
    of = listing(order, descending)
    expected = ordered(rows, of.order)
    assert paged(postgres, of, limits) == expected
    assert [Row(*row) for block in of.blocks(postgres) for row in block] == expected
    if len(rows) > 1:
        behind = of.page(postgres, 1).next
        assert [Row(*row) for block in of.blocks(postgres, behind) for row in block] == expected[1:]


def test_rows_that_stay_come_once_while_others_come_and_go(env, postgres):
    """Thousands of ties, and a writer that puts rows before, between and behind."""
    postgres.execute(
        "INSERT INTO listed_row SELECT n * 1000, NULL, NULL, n % 2 FROM generate_series(1, 5000) n"
    )
    stay = {row[0] for row in postgres.execute("SELECT key FROM listed_row")}
    stopped, wrote = threading.Event(), threading.Event()

    def write():
        with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as other:
            n = 0
            while not stopped.is_set():
                n += 1
                other.execute(
                    "INSERT INTO listed_row SELECT m * 1000 + %s, NULL, NULL, m %% 2"
                    " FROM generate_series(0, 5001, 50) m",
                    (n % 999 + 1,),
                )
                other.execute("DELETE FROM listed_row WHERE key %% 1000 = %s", ((n - 3) % 999 + 1,))
                wrote.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert wrote.wait(60)
        for order in ((By("day", "bigint", True),), (By("title", "text", nullable=True),)):
            found = [row.key for row in paged(postgres, listing(order), [97])]
            assert len(found) == len(set(found))
            assert stay <= set(found)
            assert len(found) > len(stay), "the writer's rows were never among them"
    finally:
        stopped.set()
        writer.join()


def test_long_texts_are_in_order_of_how_they_begin_and_come_once(postgres):
    """A cursor must fit into an address, whatever the text."""
    titles = ["\U0001f600" * 5_000, "\U0001f600" * 5_001, "\x01" * 9_000, None, "\x01" * 299]
    rows = [Row(n, titles[n % 5], None, 0) for n in range(15)]
    fill(postgres, rows)
    of = listing([By("title", "text", nullable=True, long=True)])
    found = paged(postgres, of, [1])
    begins = [one.title and one.title[:300] for one in found]
    assert begins == sorted(begins, key=lambda one: (one is None, (one or "").encode()))
    assert {one.key for one in found} == set(range(15))
    assert len(found) == 15
    cursors = [of.page(postgres, n).next for n in range(1, 15)]
    assert max(map(len, cursors)) < 2_000
    fill(postgres, [Row(0, "\x01" * 2_700, None, 0), Row(0, "\x01" * 2_701, None, 0)])
    key = listing([By("title", "text", nullable=True)]).page(postgres, 1).next
    assert len(key) < 6_000


def test_all_rows_are_those_of_one_moment_in_blocks(postgres, env):
    postgres.execute(
        "INSERT INTO listed_row SELECT n, NULL, NULL, 0 FROM generate_series(1, %s) n",
        (3 * BLOCK_ROWS,),
    )
    blocks = listing(()).blocks(postgres)
    first = next(blocks)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as other:
        other.execute("DELETE FROM listed_row")
    rest = list(blocks)
    assert [len(one) for one in (first, *rest)] == [BLOCK_ROWS] * 3
    assert postgres.execute("SELECT count(*) FROM listed_row").fetchone() == (0,)
