"""Gold and search after songs that changed outside any batch."""

from __future__ import annotations

from typing import Any

import pytest

from assets.music.gold.recount import changed_songs
from assets.music.lyrics import following
from resources.postgres import PostgresResource
from tests.integration.music.lyrics_world import SERVERS, LyricsWorld, song

pytestmark = pytest.mark.servers(*SERVERS)


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


def note(world: LyricsWorld, *keys: str) -> None:
    for key in keys:
        world.change(
            "INSERT INTO music.lyrics_changed (song_key) VALUES (%s) ON CONFLICT (song_key)"
            " DO UPDATE SET changed_at = clock_timestamp()",
            key,
        )


def test_every_follower_gets_every_song_once(world):
    keys = [f"s{number:03d}" for number in range(25)]
    note(world, *keys)
    got: list[tuple[str, str]] = []
    followers: dict[str, Any] = {
        name: lambda page, name=name: got.extend((name, key) for key in page) for name in "ab"
    }
    with world.database() as connection:
        assert changed_songs(connection) == 25
        assert following.follow(connection, followers, page_songs=10) == 25
        assert changed_songs(connection) == 0
        assert following.follow(connection, followers, page_songs=10) == 0
    assert sorted(got) == sorted((name, key) for name in "ab" for key in keys)
    assert [name for name, _ in got[:20]] == ["a"] * 10 + ["b"] * 10


def test_what_a_follower_did_not_take_is_taken_again(world):
    note(world, "x", "y", "z")
    taken: list[str] = []

    def broken(page):
        taken.extend(page)
        if "y" in page:
            raise ConnectionError("down")

    with world.database() as connection:
        with pytest.raises(ConnectionError):
            following.follow(connection, {"a": broken}, page_songs=1)
        assert taken == ["x", "y"]
        assert world.noted() == {"y", "z"}
        following.follow(connection, {"a": taken.extend}, page_songs=1)
    assert taken == ["x", "y", "y", "z"]
    assert world.noted() == set()


def test_a_song_that_changes_meanwhile_stays_noted(world):
    note(world, "x", "y")
    with world.database() as connection:
        following.follow(connection, {"a": lambda page: note(world, "x")})
    assert world.noted() == {"x"}


def gold(world: LyricsWorld) -> dict[str, tuple[str | None, str, bool]]:
    rows = world.query("SELECT song_key, genre, lyrics_status, has_lyrics FROM music.song_details")
    return {key: tuple(rest) for key, *rest in rows}


def test_gold_shows_what_the_retry_found(world):
    world.add("s", *song(there=True), genre="rock")
    world.add("t", "Artist 1", "Title", genre="rock")
    world.admin.set_faults(rates={"401": 1.0})
    world.enrich()
    with world.database() as connection:
        for table in ("song_details", "genre_by_year"):
            following.refresh_gold(connection, table, ["s", "t"])
    assert gold(world) == {"s": ("rock", "failed", False), "t": ("rock", "failed", False)}
    world.admin.end_faults()
    world.forward(hours=2)
    world.retry()
    assert world.noted() == {"s", "t"}
    world.change("DELETE FROM music.fact_song WHERE song_key = 't'")
    with world.database() as connection:
        follow: dict[str, Any] = {
            table: lambda keys, table=table: following.refresh_gold(connection, table, keys)
            for table in ("song_details", "genre_by_year")
        }
        assert following.follow(connection, follow) == 2
    assert gold(world) == {"s": ("rock", "found", True)}
    assert world.query("SELECT genre, year, songs FROM music.genre_by_year") == [("rock", 0, 1)]
    assert world.query("SELECT count(*) FROM music.touched WHERE batch_id NOT LIKE '2026%'") == [
        (0,)
    ]


def test_a_song_that_gold_refuses_stays_noted_and_is_told_while_others_follow(world):
    world.add("s", *song(there=True), genre="rock")
    world.add("t", "Artist 1", "Bad", genre="rock")
    world.enrich()
    world.change("ALTER TABLE music.song_details ADD CONSTRAINT known CHECK (title <> 'Bad')")
    note(world, "s", "t")
    later: list[str] = []
    followers = following.Followers(
        PostgresResource(url=world.env["POSTGRES_URL"]),
        *(None,) * 4,  # type: ignore[arg-type] # gold needs Postgres only
    )
    with world.database() as connection:
        with pytest.raises(following.RefusedSongsError, match=r'song_details t: .*"known"'):
            following.follow(connection, {"gold": followers._gold, "search": later.extend})
        assert world.noted() == {"t"}
        assert later == ["s", "t"]
        assert gold(world).keys() == {"s"}
        assert world.query("SELECT genre, songs FROM music.genre_by_year") == [("rock", 2)]
        world.change("ALTER TABLE music.song_details DROP CONSTRAINT known")
        assert following.follow(connection, {"gold": followers._gold}) == 1
    assert gold(world).keys() == {"s", "t"}
    assert world.noted() == set()
