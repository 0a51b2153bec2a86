"""Gold in a real database against a recount in plain Python."""

from __future__ import annotations

import random
from typing import Any

import psycopg
import pytest

from assets.music.gold.recount import recount
from assets.music.gold.replacement import Replaced, replace
from assets.music.gold.targets import TARGETS
from assets.sinks.result import Verification
from tests.integration.music.star import GOLD, Song, Star, contents, held, many, rows, versions

pytestmark = pytest.mark.servers("postgres")

KEYED = GOLD[:3]


@pytest.fixture
def star(env: dict[str, str]) -> Star:
    return Star(env["POSTGRES_URL"])


def follow(star: Star, batch_id: str, **options: Any) -> dict[str, Replaced]:
    """Replace all five tables for a batch, each in a transaction; every recount must agree."""
    results = {}
    for name in GOLD:
        with psycopg.connect(star.url) as conn:
            results[name] = replace(conn, TARGETS[name], batch_id, **options)
            found = recount(conn, TARGETS[name])
            assert found.ok, (name, found)
    return results


def assert_right(star: Star) -> None:
    expected, found = star.gold(), held(star.url)
    for name in GOLD:
        assert set(found[name]) == set(expected[name]), name
        for key, row in expected[name].items():
            assert found[name][key] == [
                pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
                for value in row
            ], (name, key)


def counts(replaced: Replaced) -> tuple[int, int, int]:
    return replaced.inserted, replaced.updated, replaced.deleted


def test_first_load_and_again(star):
    many(star, 300)
    star.commit("b1")
    first = follow(star, "b1")
    assert_right(star)
    expected = star.gold()
    for name, replaced in first.items():
        assert replaced.mode == "full"
        assert replaced.rows == replaced.computed == len(expected[name])
        assert counts(replaced) == (len(expected[name]), 0, 0)
    before = versions(star.url)
    again = follow(star, "b1")
    assert all(counts(replaced) == (0, 0, 0) for replaced in again.values())
    assert all(replaced.result.unchanged == replaced.rows for replaced in again.values())
    # Not a row was written, nor locked.
    assert versions(star.url) == before


@pytest.mark.parametrize("seed", range(3))
def test_incremental_and_full_make_the_same_tables(star, seed):
    many(star, 250, seed)
    star.commit("b0")
    follow(star, "b0")
    draw = random.Random(seed)
    for number in range(1, 5):
        batch_id = f"b{number}"
        disturb(star, draw)
        star.commit(batch_id)
        results = follow(star, batch_id, rebuild_share=1.0)
        assert {results[name].mode for name in KEYED} == {"incremental"}
        assert_right(star)
        incremental, written = contents(star.url), versions(star.url)
        results = follow(star, batch_id, rebuild_share=-1.0)
        assert {results[name].mode for name in KEYED} == {"full"}
        assert all(counts(replaced) == (0, 0, 0) for replaced in results.values())
        assert contents(star.url) == incremental
        assert versions(star.url) == written


def disturb(star: Star, draw: random.Random) -> None:
    """Ten changes of every kind that a batch may bring."""
    keys = sorted(star.songs)
    for key in draw.sample(keys, 4):
        star.change(key, tempo=draw.uniform(1, 499), loudness=draw.uniform(-50, 0), pitch=3, mode=1)
    moved, gone, found = draw.sample(keys, 3)
    star.change(moved, artists=("AR_new", *star.songs[moved].artists), album="r-new", genre="Polka")
    star.change(found, status="found", text="Only now", words=None)
    star.remove(gone)
    artist = draw.choice(sorted(star.names))
    star.rename_artist(artist, draw.choice(["Another name", None]))
    star.move_artist(draw.choice(sorted(star.names)), ("Oslo", 59.9, draw.uniform(10, 11)))
    star.rename_album(draw.choice(sorted(star.titles)), f"Retitled {draw.random()}")


def test_rows_do_not_depend_on_the_order_of_silver(star):
    many(star, 300)
    star.commit("b1")
    follow(star, "b1")
    before = versions(star.url)
    star.commit("b2", backwards=True)
    again = follow(star, "b2", rebuild_share=-1.0)
    assert all(counts(replaced) == (0, 0, 0) for replaced in again.values())
    assert versions(star.url) == before


def test_what_has_no_song_any_more_is_gone(star):
    star.put(Song("S1", album="r-1", genre="Rock", tempo=100.0, pitch=1, mode=0))
    star.put(Song("S2", artists=("AR2",), album="r-2", genre="Jazz", year=1999))
    star.commit("b1")
    follow(star, "b1")
    star.remove("S1")
    star.commit("b2")
    results = follow(star, "b2", rebuild_share=1.0)
    assert [counts(results[name]) for name in GOLD] == [(0, 0, 1)] * 5
    found = held(star.url)
    assert [list(found[name]) for name in GOLD] == [["S2"], ["AR2"], ["r-2"], [("Jazz", 1999)], []]


def test_a_song_that_moves_leaves_its_old_artist_and_album(star):
    star.put(
        Song("S1", artists=("AR1", "AR2"), album="r-1", duration=10.0),
        Song("S2", artists=("AR1",), album="r-1", duration=30.0),
    )
    star.commit("b1")
    follow(star, "b1")
    assert held(star.url)["artist_performance"]["AR1"] == [
        "Name of AR1", 2, None, None, 40.0, None, None, None,
    ]  # fmt: skip
    star.change("S1", artists=("AR3",), album="r-3")
    star.commit("b2")
    follow(star, "b2", rebuild_share=1.0)
    assert_right(star)
    found = held(star.url)
    assert sorted(found["artist_performance"]) == ["AR1", "AR3"]
    assert found["album_performance"]["r-1"] == ["Title of r-1", ["Name of AR1"], 1, 30.0]


def test_averages_leave_out_what_is_unknown(star):
    star.places["AR1"] = ("Oslo", 59.9, 10.7)
    star.put(
        Song("S1", tempo=100.0, loudness=-10.0, duration=60.0, genre="Rock", album="r-1"),
        Song("S2", tempo=None, loudness=-20.0, duration=None, genre="Rock", album="r-1"),
        Song("S3", artists=("AR9",), genre="Rock", year=2000, album="r-9"),
    )
    star.commit("b1")
    follow(star, "b1")
    found = held(star.url)
    assert found["artist_performance"] == {
        "AR1": ["Name of AR1", 2, 100.0, -15.0, 60.0, "Oslo", 59.9, 10.7],
        "AR9": ["Name of AR9", 1, None, None, None, None, None, None],
    }
    assert found["album_performance"]["r-1"][2:] == [2, 60.0]
    assert found["album_performance"]["r-9"][2:] == [1, None]
    assert found["genre_by_year"] == {
        ("Rock", 0): [2, 100.0, -15.0],
        ("Rock", 2000): [1, None, None],
    }


def test_bins_are_closed_on_the_left(star):
    tempos = [0.5, 9.999999999999998, 10.0, 119.99999999999999, 120.0, 129.9, 130.0, 500.0]
    star.put(*(Song(f"S{n}", tempo=t, pitch=0, mode=1) for n, t in enumerate(tempos)))
    star.put(Song("no key", tempo=99.0, mode=1), Song("no mode", tempo=99.0, pitch=0))
    star.commit("b1")
    follow(star, "b1")
    found = held(star.url)["tempo_key_profile"]
    assert {key[2]: row[0] for key, row in found.items()} == {
        0: 2, 10: 1, 110: 1, 120: 2, 130: 1, 500: 1
    }  # fmt: skip


def test_a_new_name_reaches_every_song_and_what_follows_gold(star):
    star.put(
        Song("S1", artists=("AR1",), album="r-1"),
        Song("S2", artists=("AR2", "AR1"), album="r-2"),
        Song("S3", artists=("AR3",), album="r-2"),
        Song("S4", artists=("AR3",), album="r-4"),
    )
    star.commit("b1")
    follow(star, "b1")
    star.rename_artist("AR1", "New name")
    star.rename_album("r-4", "New title")
    star.commit("b2")
    results = follow(star, "b2", rebuild_share=1.0)
    assert_right(star)
    assert [counts(results[name]) for name in KEYED] == [(0, 3, 0), (0, 1, 0), (0, 3, 0)]
    with psycopg.connect(star.url) as conn:
        touched = conn.execute(
            "SELECT key FROM music.touched WHERE batch_id = 'b2' AND kind = 'song' ORDER BY key"
        ).fetchall()
    assert touched == [("S1",), ("S2",), ("S4",)]


def test_digest_follows_the_lyrics(star):
    def digests() -> dict[str, str]:
        with psycopg.connect(star.url) as conn:
            rows = conn.execute("SELECT song_key, row_hash FROM music.song_details")
            return dict(rows.fetchall())

    star.put(Song("S1", status="found", text="one"), Song("S2", status="found", text="two"))
    star.put(Song("S3", status="found", words=(("love", 1),)), Song("S4"))
    star.commit("b1")
    follow(star, "b1")
    before = digests()
    assert len(set(before.values())) == 4
    assert all(len(digest) == 32 for digest in before.values())
    star.change("S1", text="another one")
    star.change("S3", words=(("love", 2),))
    star.change("S4", status="missing")
    star.commit("b2")
    assert follow(star, "b2")["song_details"].updated == 3
    after = digests()
    assert {key for key in after if after[key] != before[key]} == {"S1", "S3", "S4"}
    star.change("S1", text="one")
    star.commit("b3")
    follow(star, "b3")
    assert digests()["S1"] == before["S1"]


def test_mode_is_chosen_by_share(star):
    star.put(*(Song(f"S{n:02}", artists=(f"AR{n}",), album=f"r-{n}") for n in range(20)))
    star.commit("b1")
    follow(star, "b1")
    star.change("S01", title="Other")
    star.change("S02", title="Other")
    star.commit("b2")
    modes = {
        share: [follow(star, "b2", rebuild_share=share)[name].mode for name in KEYED]
        for share in (0.09, 0.1)
    }
    assert modes == {0.09: ["full"] * 3, 0.1: ["incremental"] * 3}
    details = follow(star, "b2")["song_details"]
    assert (details.in_scope, details.population, details.computed) == (2, 20, 2)


@pytest.mark.parametrize("name", GOLD)
def test_readers_see_the_table_as_it_was_until_the_end(star, name):
    many(star, 60)
    star.commit("b1")
    follow(star, "b1")
    before = contents(star.url)[name]
    for key in sorted(star.songs)[:40]:
        star.remove(key)
    star.commit("b2")
    with psycopg.connect(star.url) as writer, psycopg.connect(star.url) as reader:
        reader.execute("SET lock_timeout = '2s'")
        replaced = replace(writer, TARGETS[name], "b2")
        assert replaced.deleted or replaced.updated
        assert rows(reader, name) == before
        writer.rollback()
    assert contents(star.url)[name] == before


@pytest.mark.parametrize("name", GOLD)
def test_recount_finds_what_is_wrong(star, name):
    many(star, 60)
    star.commit("b1")
    target = TARGETS[name]
    key = " || ' ' || ".join(target.table.key)

    def spoiled(statement: str, *values: object) -> Verification:
        with psycopg.connect(star.url) as conn:
            replace(conn, target, "b1")
            assert conn.execute(statement, values).rowcount == 1
            found = recount(conn, target)
            conn.rollback()
        return found

    with psycopg.connect(star.url) as conn:
        replace(conn, target, "b1")
        row = conn.execute(f"SELECT ({key})::text FROM music.{name} ORDER BY 1").fetchone()
    one = row[0]
    missing = spoiled(f"DELETE FROM music.{name} WHERE ({key})::text = %s", one)
    assert (missing.missing, missing.differing, missing.unexpected) == (1, 0, 0)
    assert missing.sample == (one,)
    shown = "title" if name == "song_details" else "songs"
    value = "'other'" if shown == "title" else "songs + 1"
    differing = spoiled(f"UPDATE music.{name} SET {shown} = {value} WHERE ({key})::text = %s", one)
    assert (differing.missing, differing.differing, differing.unexpected) == (0, 1, 0)
    assert differing.sample == (one,)


@pytest.mark.parametrize("name", GOLD)
def test_recount_looks_at_every_column(star, name):
    star.places = dict.fromkeys(("AR1", "AR2"), ("Oslo", 59.9, 10.7))
    star.put(
        Song(
            "S1", "Title", ("AR1", "AR2"), "r-1", "Rock", 2000, ("TR1",), 100.0, 120.0, -5.0, 3, 1,
            4, 0.5, "found", "text",
        )
    )  # fmt: skip
    star.commit("b1")
    others = {
        "text": "'missing'", "text[]": "'{x}'", "boolean": "false", "smallint": "7",
        "integer": "7", "double precision": "{} + 0.001",
    }  # fmt: skip
    spoiled = 0
    for column in TARGETS[name].table.columns:
        if column.name in {*TARGETS[name].table.key, "row_hash"}:
            continue
        other = others[column.type].replace("{}", column.name)
        for value in (other, "NULL") if column.nullable else (other,):
            with psycopg.connect(star.url) as conn:
                replace(conn, TARGETS[name], "b1")
                rows = conn.execute(f"UPDATE music.{name} SET {column.name} = {value}").rowcount
                found = recount(conn, TARGETS[name])
                conn.rollback()
            assert rows, (name, column.name)
            assert found.differing == rows, (name, column.name, value)
            spoiled += 1
    assert spoiled >= 3
