"""The registry of tables against the migrated database."""

from __future__ import annotations

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from assets.music import tables
from assets.music.pipeline import GOLD
from local.service import REPOSITORY
from migrations.upgrade import upgrade

pytestmark = pytest.mark.servers("postgres")

#: The short names of types that information_schema spells out.
SHORT = {"timestamp with time zone": "timestamptz"}
#: The tables that gold had when their names had a prefix.
GOLD_THEN = [name for name in GOLD if name not in {"song_plays", "artist_plays"}]


@pytest.fixture
def conn(env):
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        yield connection


def test_columns_types_and_order(conn):
    rows = conn.execute(
        "SELECT table_name, column_name, data_type, udt_name, is_nullable"
        " FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name)"
        " WHERE table_schema = 'music' AND table_type = 'BASE TABLE'"
        " ORDER BY table_name, ordinal_position"
    ).fetchall()
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, column, kind, element, nullable in rows:
        name = f"{element.removeprefix('_')}[]" if kind == "ARRAY" else SHORT.get(kind, kind)
        found.setdefault(table, []).append((column, name, nullable == "YES"))
    assert found == {
        name: [
            (column.name, column.type, column.nullable) for column in (*table.columns, *table.made)
        ]
        for name, table in tables.TABLES.items()
    }


def test_primary_keys(conn):
    rows = conn.execute(
        "SELECT k.table_name, array_agg(k.column_name::text ORDER BY k.ordinal_position)"
        " FROM information_schema.table_constraints AS c"
        " JOIN information_schema.key_column_usage AS k USING (constraint_schema, constraint_name)"
        " WHERE c.table_schema = 'music' AND c.constraint_type = 'PRIMARY KEY'"
        " GROUP BY k.table_name"
    ).fetchall()
    assert {name: tuple(key) for name, key in rows} == {
        name: table.key for name, table in tables.TABLES.items()
    }


def test_foreign_keys(conn):
    rows = conn.execute(
        "SELECT k.table_name, k.column_name, u.table_name, u.column_name"
        " FROM information_schema.referential_constraints AS r"
        " JOIN information_schema.key_column_usage AS k"
        "   ON (k.constraint_schema, k.constraint_name) ="
        "      (r.constraint_schema, r.constraint_name)"
        " JOIN information_schema.constraint_column_usage AS u"
        "   ON (u.constraint_schema, u.constraint_name) ="
        "      (r.constraint_schema, r.constraint_name)"
        " WHERE r.constraint_schema = 'music' AND u.table_schema = 'music'"
    ).fetchall()
    assert sorted(rows) == sorted(
        (table.name, column.name, column.reference.table, column.reference.column)
        for table in tables.TABLES.values()
        for column in table.columns
        if column.reference and column.reference.enforced
    )


def test_allowed_values_are_those_of_the_check_constraints(conn):
    definitions = conn.execute(
        "SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint AS k"
        " JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'music' AND k.contype = 'c'"
    ).fetchall()
    lists = [(table, text) for table, text in definitions if "ANY (ARRAY[" in text]
    assert lists
    for table, text in lists:
        column = text.split("((")[1].split(" ")[0].strip("(")
        values = tuple(part.split("'")[1] for part in text.split("ARRAY[")[1].split(","))
        assert tables.TABLES[table].column(column).allowed == values


def named_after_gold(conn):
    """The indexes and constraints of gold's tables, and the sinks of a batch."""
    rows = conn.execute(
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'music' AND tablename ~ %(gold)s"
        " UNION SELECT k.conname FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid"
        " WHERE c.relnamespace = 'music'::regnamespace AND c.relname ~ %(gold)s"
        " UNION SELECT sink FROM landing.batch_sink",
        {"gold": f"^(gold_)?({'|'.join(GOLD_THEN)})$"},
    )
    return {name for (name,) in rows if not name.endswith("ed_at_not_null")}


def test_gold_of_a_database_in_use_loses_its_prefix_with_all_that_is_named_after_it(env, conn):
    config = Config()
    config.set_main_option("script_location", str(REPOSITORY / "migrations"))
    config.attributes["url"] = env["POSTGRES_URL"]
    today = named_after_gold(conn)
    conn.rollback()
    command.downgrade(config, "0005")
    conn.execute(
        "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at)"
        " VALUES ('b', 'music_minio', 'music', 1, 1, now())"
    )
    conn.execute(
        "INSERT INTO landing.batch_sink (batch_id, sink)"
        " SELECT 'b', unnest(%s || ARRAY['silver_songs'])",
        ([f"gold_{name}" for name in GOLD_THEN],),
    )
    before = named_after_gold(conn)
    conn.commit()
    assert "gold_song_details_artist" in before
    upgrade(env["POSTGRES_URL"])
    after = named_after_gold(conn)
    assert after == {name.removeprefix("gold_") for name in before}
    assert after == {*today, *GOLD_THEN, "silver_songs"}
