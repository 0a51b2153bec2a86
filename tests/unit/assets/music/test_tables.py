"""The registry as such; that it is the database's is tested where there is a database."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.music import tables
from assets.music.pipeline import GOLD, MUSIC
from assets.music.registry import search
from assets.music.registry.bronze import STAGED

BRONZE, SONGS, LYRICS, PLAYS = (
    dg.AssetKey(["music", name])
    for name in ("bronze_records", "silver_songs", "song_lyrics", "fact_play")
)


def test_every_table_has_its_key_and_says_what_it_is():
    for name, table in tables.TABLES.items():
        assert table.name == name
        assert set(table.key) <= set(table.names)
        assert len(set(table.names)) == len(table.names)
        assert table.description.endswith(".")
        assert all(column.description.endswith(".") for column in table.columns)
        assert all(not table.column(key).nullable for key in table.key)
        assert table.asset is None or table.asset in MUSIC.sinks


def test_references_point_to_keys():
    for table in tables.TABLES.values():
        for column in table.columns:
            if column.reference:
                to = tables.TABLES[column.reference.table]
                assert to.key == (column.reference.column,)
                assert to.column(column.reference.column).type == column.type


def test_lineage_leads_to_columns_that_exist():
    there = {
        BRONZE: {column.name for column in STAGED.columns},
        SONGS: set(tables.TABLES["fact_song"].names),
        LYRICS: set(tables.TABLES["song_lyrics"].names),
        PLAYS: set(tables.TABLES["fact_play"].names),
    }
    for name, table in tables.TABLES.items():
        for column, sources in tables.TABLES[name].column_lineage().deps_by_column.items():
            assert column in table.names
            for source in sources:
                assert source.column_name in there[source.asset_key], (name, column)


@pytest.mark.parametrize("index", [search.SONGS, search.PASSAGES])
def test_every_field_of_an_index_comes_from_columns_that_exist(index):
    deps = index.column_lineage().deps_by_column
    assert set(deps) == set(index.names)
    assert index.asset in MUSIC.sinks
    for sources in deps.values():
        for source in sources:
            table = tables.TABLES[source.asset_key.path[-1]]
            assert table.column(source.column_name)
            assert table.asset == table.name


@pytest.mark.parametrize("name", GOLD)
def test_every_column_of_gold_comes_from_silver(name):
    deps = tables.TABLES[name].column_lineage().deps_by_column
    assert set(deps) == set(tables.TABLES[name].names)
    assert {dep.asset_key for sources in deps.values() for dep in sources} <= {SONGS, LYRICS, PLAYS}


def test_every_figure_of_a_song_comes_from_bronze():
    deps = tables.TABLES["fact_song"].column_lineage().deps_by_column
    assert deps["tempo"] == [dg.TableColumnDep(BRONZE, "tempo")]
    assert {dep.column_name for dep in deps["genre_key"]} == {
        "genre", "artist_mbtags", "artist_terms"
    }  # fmt: skip
    assert set(tables.TABLES["fact_song"].names) - set(deps) == {"row_hash"}


def test_schema_says_types_units_and_rules():
    schema = tables.TABLES["fact_song"].column_schema()
    columns = {column.name: column for column in schema.columns}
    assert columns["tempo"].type == "double precision"
    assert columns["tempo"].description == "Beats per minute."
    assert list(columns["tempo"].constraints.other) == ["> 0 and <= 500"]
    assert columns["tempo"].constraints.nullable
    assert columns["song_key"].constraints.unique
    assert not columns["artist_key"].constraints.nullable
    assert not columns["song_key"].constraints.nullable
    assert list(columns["artist_key"].constraints.other) == ["references dim_artist.artist_key"]
    assert list(schema.constraints.other) == ["primary key (song_key)"]
    statuses = {
        column.name: column for column in tables.TABLES["song_lyrics"].column_schema().columns
    }["status"]
    assert list(statuses.constraints.other) == ["one of pending, found, missing, failed"]


def test_ranges_of_what_was_analysed():
    limits = {c.name: (c.minimum, c.above, c.maximum) for c in tables.TABLES["fact_song"].columns}
    expected = {
        "key": (0, None, 11),
        "mode": (0, None, 1),
        "tempo": (None, 0, 500),
        "duration": (None, 0, 86_400),
    }
    assert {name: limits[name] for name in expected} == expected
    assert limits["loudness"] == (-100, None, 20)


def test_unknown_column():
    with pytest.raises(KeyError, match="fact_song has no column tempi"):
        tables.TABLES["fact_song"].column("tempi")
