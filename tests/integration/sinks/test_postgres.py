"""Rows of a validated batch in a Postgres table, beside what the landed files say."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import polars as pl
import psycopg
import pytest

from assets.frame.tables import INGESTED_AT, LINE, ROW_HASH, Column, Table
from assets.sinks import postgres, postgres_replacing
from landing.batch.delivery import deliver
from tests.integration.campaigns.harness import row

pytestmark = pytest.mark.servers("postgres")

MESSAGES = Table(
    "shop",
    "messages",
    "One row per message.",
    ("record_id",),
    (
        Column("record_id", "text", "Key.", nullable=False),
        Column("message", "text", "What was said."),
        Column("campaign", "text", "For which campaign."),
        Column("timestamp", "timestamptz", "When."),
        ROW_HASH,
        LINE,
        INGESTED_AT,
    ),
)


def take(landing, batch, run="run-1", table=MESSAGES):
    with (
        deliver(
            landing.pg, landing.store, pipeline="campaigns", batch_id=batch,
            sink="raw_messages", run_id=run,
        ) as delivery,
        landing.pg.connect() as conn,
    ):  # fmt: skip
        result, found = postgres.upsert(conn, delivery, table)
        if not found.ok:
            raise LookupError(found)
    return result, found


def held(landing):
    return landing.query(
        "SELECT record_id, message, campaign, timestamp, line FROM shop.messages ORDER BY record_id"
    )


def at(second: int) -> datetime:
    return datetime(2025, 11, 3, 10, 0, second, tzinfo=UTC)


ODD = 'a "quoted", comma\nand a line, \\N and ü'


def test_twice_then_changed(landing):
    batch = landing.batch(
        {"campaigns/a.csv": [row("r1", ODD), row("r2", "", campaign=""), row("r3", at=7)]}
    )
    landing.validate(batch)
    result, found = take(landing, batch)
    expected = [
        ("r1", ODD, "Sale", at(0), 2),
        ("r2", None, None, at(0), 4),
        ("r3", "Hello", "Sale", at(7), 5),
    ]
    assert held(landing) == expected
    assert (result.rows_written, result.unchanged) == (3, 0)
    assert (found.expected, found.ok) == (3, True)
    versions = landing.query("SELECT record_id, xmin::text FROM shop.messages ORDER BY 1")

    again, found = take(landing, batch, run="run-2")
    assert (again.rows_written, again.unchanged, found.ok) == (3, 3, True)
    assert held(landing) == expected
    # Equal rows are not written at all.
    assert landing.query("SELECT record_id, xmin::text FROM shop.messages ORDER BY 1") == versions

    second = landing.batch({"campaigns/b.csv": [row("r3", "Bye", at=9), row("r4")]})
    landing.validate(second)
    result, found = take(landing, second)
    assert (result.rows_written, result.unchanged, found.ok) == (2, 0, True)
    assert held(landing) == [
        *expected[:2],
        ("r3", "Bye", "Sale", at(9), 2),
        ("r4", "Hello", "Sale", at(0), 3),
    ]
    hashes = dict(landing.query("SELECT key, row_hash FROM campaigns.record"))
    assert dict(landing.query("SELECT record_id, row_hash FROM shop.messages")) == hashes


def test_the_mark_is_made_with_the_rows_or_not_at_all(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1"), row("r2")]})
    landing.validate(batch)
    with psycopg.connect(landing.url) as conn:
        postgres.ensure(conn, MESSAGES)
        conn.execute(
            "CREATE FUNCTION shop.spoil() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN NEW.row_hash := 'spoilt'; RETURN NEW; END$$"
        )
        conn.execute(
            "CREATE TRIGGER spoil BEFORE INSERT ON shop.messages FOR EACH ROW"
            " WHEN (NEW.record_id = 'r2') EXECUTE FUNCTION shop.spoil()"
        )
    with pytest.raises(LookupError, match=r"expected=2, missing=0, differing=1.*'r2'"):
        take(landing, batch)
    assert held(landing) == []
    sink = "SELECT state, rows_written FROM landing.batch_sink WHERE sink = 'raw_messages'"
    assert landing.query(sink) == [("failed", None)]
    with psycopg.connect(landing.url) as conn:
        conn.execute("DROP TRIGGER spoil ON shop.messages")
    take(landing, batch)
    assert [key for key, *_ in held(landing)] == ["r1", "r2"]
    assert landing.query(sink) == [("done", 2)]


def refused(landing):
    return landing.query("SELECT record_key, line, detail FROM landing.refused_row ORDER BY line")


def test_a_row_that_postgres_refuses_costs_itself_only(landing):
    first = landing.batch({"campaigns/0.csv": [row("r5", "before")]})
    landing.validate(first)
    take(landing, first)
    with psycopg.connect(landing.url) as conn:
        conn.execute("ALTER TABLE shop.messages ADD CONSTRAINT short CHECK (message <> 'long')")
        conn.execute("CREATE INDEX by_message ON shop.messages (message)")
    # More than an entry of an index may have, and not to be compressed.
    random = "".join(sha256(str(n).encode()).hexdigest() for n in range(200))
    texts = {2: "long", 5: "long", 7: random}
    rows = [row(f"r{n}", texts.get(n, "Hello")) for n in range(9)]
    batch = landing.batch({"campaigns/a.csv": rows})
    landing.validate(batch)
    result, found = take(landing, batch)
    assert (result.rows_written, result.unchanged, found.expected, found.ok) == (6, 0, 6, True)
    there = {key: message for key, message, *_ in held(landing)}
    assert there == {f"r{n}": "Hello" for n in (0, 1, 3, 4, 6, 8)} | {"r5": "before"}
    (second, fifth, seventh) = refused(landing)
    assert (second[:2], fifth[:2], seventh[:2]) == (("r2", 4), ("r5", 7), ("r7", 9))
    assert second[2].endswith('violates check constraint "short"')
    assert "index row requires" in seventh[2]
    assert max(len(words) for *_, words in refused(landing)) < 300, "words, not the row"
    sink = "SELECT state, rows_written, rows_refused FROM landing.batch_sink"
    mine = " WHERE sink = 'raw_messages' AND batch_id = %s"
    assert landing.query(sink + mine, batch) == [("done", 6, 3)]

    # Once they get through, nothing is left of it.
    with psycopg.connect(landing.url) as conn:
        conn.execute("ALTER TABLE shop.messages DROP CONSTRAINT short")
        conn.execute("DROP INDEX shop.by_message")
    result, found = take(landing, batch, run="run-2")
    assert (result.rows_written, result.unchanged, found.ok) == (9, 6, True)
    assert refused(landing) == []


def test_what_refuses_every_row_is_raised_and_nothing_is_kept(landing):
    batch = landing.batch({"campaigns/a.csv": [row(f"r{n}") for n in range(30)]})
    landing.validate(batch)
    with psycopg.connect(landing.url) as conn:
        postgres.ensure(conn, MESSAGES)
        conn.execute("ALTER TABLE shop.messages ADD CHECK (campaign <> 'Sale')")
    with pytest.raises(psycopg.errors.CheckViolation):
        take(landing, batch)
    assert held(landing) == refused(landing) == []


def test_a_table_that_is_otherwise_is_refused_with_the_remedy(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    with psycopg.connect(landing.url) as conn:
        conn.execute("CREATE SCHEMA shop")
        conn.execute(
            postgres.definition(MESSAGES)
            .replace('"campaign" text, ', "")
            .replace('"line" bigint', '"line" text')
        )
    with pytest.raises(
        postgres.AnotherTableError,
        match=r'ALTER TABLE shop.messages ADD COLUMN "campaign" text,'
        r' ALTER COLUMN "line" TYPE bigint',
    ):
        take(landing, batch)


def test_what_is_declared_is_what_there_is(landing):
    with psycopg.connect(landing.url) as conn:
        postgres.ensure(conn, MESSAGES)
        postgres.ensure(conn, MESSAGES)
    columns = landing.query(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'shop' ORDER BY ordinal_position"
    )
    assert columns == [
        ("record_id", "text", "NO"),
        ("message", "text", "YES"),
        ("campaign", "text", "YES"),
        ("timestamp", "timestamp with time zone", "YES"),
        ("row_hash", "text", "NO"),
        ("line", "bigint", "NO"),
        ("ingested_at", "timestamp with time zone", "NO"),
    ]


STOCK = Table(
    "shop",
    "stock",
    "What lies where.",
    ("place", "item"),
    (
        Column("place", "text", "Where.", nullable=False),
        Column("item", "text", "What.", nullable=False),
        Column("pieces", "integer", "How many; null for not counted."),
    ),
)


def test_a_table_is_brought_to_what_a_relation_says_and_equal_rows_are_left_alone(landing):
    with psycopg.connect(landing.url) as conn:
        postgres.ensure(conn, STOCK)
        conn.execute(
            "INSERT INTO shop.stock VALUES ('a', 'nut', 1), ('a', 'bolt', NULL), ('a', 'gone', 3),"
            " ('b', 'nut', 4)"
        )
        conn.commit()
        before = dict(conn.execute("SELECT place || item, xmin::text FROM shop.stock"))
        conn.execute(
            "CREATE TEMP TABLE fresh AS SELECT * FROM (VALUES ('a', 'nut', 1), ('a', 'bolt', 2),"
            " ('a', 'new', NULL::integer)) AS v (place, item, pieces)"
        )
        done = postgres_replacing.reconcile(conn, STOCK, "fresh", within="place = 'a'")
        assert done == (1, 1, 1)
        again = postgres_replacing.reconcile(conn, STOCK, "fresh", within="place = 'a'")
        assert again == (0, 0, 0)
        rows = conn.execute("SELECT * FROM shop.stock ORDER BY place, item").fetchall()
        assert rows == [("a", "bolt", 2), ("a", "new", None), ("a", "nut", 1), ("b", "nut", 4)]
        after = dict(conn.execute("SELECT place || item, xmin::text FROM shop.stock"))
        assert {key for key in after if after[key] == before.get(key)} == {"anut", "bnut"}
        assert postgres_replacing.reconcile(conn, STOCK, "fresh") == (1, 0, 0)


def test_a_row_that_is_refused_within_a_replacement_costs_itself_only(landing):
    with psycopg.connect(landing.url) as conn:
        postgres.ensure(conn, STOCK)
        conn.execute(
            "ALTER TABLE shop.stock ADD CHECK (pieces < 100), ADD UNIQUE (pieces);"
            "INSERT INTO shop.stock VALUES"
            " ('a', 'nut', 1), ('a', 'bolt', 2), ('a', 'gone', 3), ('b', 'nut', 40)"
        )
        conn.commit()
        # Of `screw` and `twin` one can be there; `new` needs the number of what goes.
        items = {"nut": 1, "bolt": 100, "screw": 5, "new": 3, "twin": 5, "many": 4_000_000_000}
        frame = pl.DataFrame(
            [("a", item, pieces) for item, pieces in items.items()],
            schema={"place": pl.String, "item": pl.String, "pieces": pl.Int64},
            orient="row",
        )
        told: dict[str, str] = {}
        result, found = postgres_replacing.replace_within(
            conn, STOCK, frame, "place = 'a'",
            refused=lambda row, said: told.update({row.item(0, "item"): said}),
        )  # fmt: skip
        conn.commit()
        rows = conn.execute("SELECT item, pieces FROM shop.stock WHERE place = 'a'").fetchall()
    assert dict(rows) == {"nut": 1, "bolt": 2, "screw": 5, "new": 3}
    assert landing.query("SELECT item, pieces FROM shop.stock WHERE place = 'b'") == [("nut", 40)]
    assert (result.rows_written, result.unchanged, result.deleted) == (3, 1, 1)
    assert (found.ok, found.expected) == (True, 3)
    assert told.keys() == {"bolt", "twin", "many"}
    assert "check constraint" in told["bolt"]
    assert "(pieces)=(5) already exists" in told["twin"]
    assert "out of range for type integer" in told["many"]


def test_without_somebody_to_tell_or_where_all_is_refused_a_replacement_fails(landing):
    frame = pl.DataFrame({"place": ["a", "a"], "item": ["nut", "bolt"], "pieces": [1, 100]})
    with psycopg.connect(landing.url, autocommit=True) as conn:
        postgres.ensure(conn, STOCK)
        conn.execute("ALTER TABLE shop.stock ADD CHECK (pieces < 100)")
        with pytest.raises(psycopg.errors.CheckViolation):
            postgres_replacing.replace_within(conn, STOCK, frame, "place = 'a'")
        with pytest.raises(psycopg.errors.CheckViolation):
            postgres_replacing.replace_within(
                conn, STOCK, frame[1:], "place = 'a'", refused=lambda *_: pytest.fail("not a row's")
            )
        assert conn.execute("SELECT count(*) FROM shop.stock").fetchone() == (0,)
