"""Genres of artists from the stand-in MusicBrainz, and what becomes of their songs."""

from __future__ import annotations

import time

import pytest

from assets.music.lyrics import genres
from assets.music.silver.statements import fact_hash
from local import music_answers
from tests.integration.music.lyrics_world import BATCH, SERVERS, LyricsWorld, genre_of

pytestmark = pytest.mark.servers(*SERVERS)

NEXT = "20261122T110000Z-0002"


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


def names(*, there: bool, with_genre: bool = True) -> list[str]:
    """Names of artists that the service knows, with or without a genre, or doesn't know."""
    candidates = [f"Artist {number}" for number in range(500)]
    return [
        name
        for name in candidates
        if (mbid := music_answers.mbid_of(name) is not None) == there
        and (not mbid or (genre_of(music_answers.mbid_of(name)) is not None) == with_genre)
    ]


def songs_of(world: LyricsWorld) -> dict[str, tuple[str | None, str | None]]:
    """Genre and its provenance by song."""
    rows = world.query(
        "SELECT song_key, nullif(genre_key, 'Unknown member'), provenance ->> 'genre'"
        " FROM music.fact_song"
    )
    return {key: (genre, origin) for key, genre, origin in rows}


def test_songs_without_a_genre_get_their_artists(world):
    known, unknown, plain = (
        names(there=True)[:8],
        names(there=False)[:3],
        names(there=True, with_genre=False)[:2],
    )
    expected = {}
    for name in (*known, *unknown, *plain):
        artist = world.add(f"song of {name}", name, "Title")
        genre = genre_of(music_answers.mbid_of(name))
        expected[f"song of {name}"] = (genre, genre and f"musicbrainz:{artist}")
        assert (genre is not None) == (name in known)
    details = world.enrich()
    assert songs_of(world) == expected
    assert (details["genres_found"], details["genres_missing"]) == (8, 5)
    assert details["genres_asked"] == 13
    assert details["songs_with_genre"] == 8
    # A name costs a search, and a lookup where it is found.
    assert details["genres_calls"] == world.admin.calls("musicbrainz") == 13 + 10
    assert {row[0] for row in world.query("SELECT genre_key FROM music.dim_genre")} == {
        "Unknown member",
        *(genre for genre, _ in expected.values() if genre),
    }
    assert world.lookup(f"artist {unknown[0]}") == (
        "missing", None, 1, "by name: no artist of that name",
    )  # fmt: skip


def test_the_row_hash_is_that_of_silver(world):
    world.add("s", names(there=True)[0], "Title")
    world.add("other", names(there=False)[0], "Title")
    world.enrich()
    rows = world.query(f"SELECT song_key, row_hash = {fact_hash('f')} FROM music.fact_song f")
    assert dict(rows) == {"s": True, "other": False}


def test_an_mbid_is_asked_in_one_call(world):
    mbid = music_answers.mbid_of(names(there=True)[0])
    artist = world.add("s", "Some name", "Title", mbid=mbid)
    world.enrich()
    assert world.admin.asked("musicbrainz") == {("mbid", mbid): 1}
    assert world.lookup(artist) == ("found", genre_of(mbid), 1, None)


def test_genres_of_files_stay_and_are_not_asked_for(world):
    world.add("s", names(there=True)[0], "Title", genre="by hand")
    world.enrich()
    assert songs_of(world) == {"s": ("by hand", None)}
    assert world.admin.calls("musicbrainz") == 0
    artist = world.add("t", names(there=True)[0], "Other")
    world.enrich()
    genre = genre_of(music_answers.mbid_of(names(there=True)[0]))
    assert songs_of(world) == {"s": ("by hand", None), "t": (genre, f"musicbrainz:{artist}")}


def test_songs_that_the_batch_does_not_mention_follow_and_are_touched(world):
    name = names(there=True)[0]
    world.add("old", name, "Old", batch=BATCH)
    world.add("new", name, "New", batch=NEXT)
    assert world.enrich(NEXT)["songs_with_genre"] == 2
    touched = world.query(
        "SELECT key FROM music.touched WHERE batch_id = %s AND kind = 'song' ORDER BY key", NEXT
    )
    assert touched == [("new",), ("old",)]


def test_a_known_artists_next_song_costs_no_call(world):
    name = names(there=True)[0]
    world.add("old", name, "Old")
    world.enrich()
    calls = world.admin.calls("musicbrainz")
    artist = world.add("new", name, "New", batch=NEXT)
    assert world.enrich(NEXT)["songs_with_genre"] == 1
    assert songs_of(world)["new"] == (
        genre_of(music_answers.mbid_of(name)), f"musicbrainz:{artist}",
    )  # fmt: skip
    assert world.admin.calls("musicbrainz") == calls


@pytest.mark.parametrize("fault", ["500", "hang", "malformed", "empty", "429"])
def test_failures_are_failures_and_due_again(world, fault):
    name = names(there=True)[0]
    artist = world.add("s", name, "Title")
    world.admin.set_faults(
        rates={fault: 1.0}, endpoints=["musicbrainz"], retry_after=0.1, hang_seconds=30
    )
    details = world.enrich(asking={"timeout": 0.5})
    assert details["genres_failed"] == 1
    assert world.lookup(artist)[:3] == ("failed", None, 1)
    assert songs_of(world) == {"s": (None, None)}
    world.admin.end_faults()
    assert world.retry()["genres_asked"] == 0
    world.forward(hours=2)
    assert world.retry()["songs_with_genre"] == 1
    assert songs_of(world)["s"][0] == genre_of(music_answers.mbid_of(name))
    assert world.noted() >= {"s"}


def test_an_artist_without_name_waits_for_one(world):
    artist = world.add("s", None, "Title")
    world.enrich()
    assert world.lookup(artist) == ("pending", None, 0, "no name")
    name = names(there=True)[0]
    world.change("UPDATE music.dim_artist SET name = %s", name)
    world.touch(NEXT, "artist", [artist])
    world.enrich(NEXT)
    assert world.lookup(artist)[:2] == ("found", genre_of(music_answers.mbid_of(name)))


def test_an_unknown_name_is_asked_for_again_once_there_is_an_id(world):
    artist = world.add("s", names(there=False)[0], "Title")
    world.enrich()
    assert world.lookup(artist)[0] == "missing"
    world.forward(days=100)
    world.touch(NEXT, "artist", [artist])
    assert world.enrich(NEXT)["genres_asked"] == 0
    mbid = music_answers.mbid_of(names(there=True)[0])
    world.change("UPDATE music.dim_artist SET mbid = %s", mbid)
    assert world.enrich(NEXT)["genres_found"] == 1
    assert world.lookup(artist)[:2] == ("found", genre_of(mbid))


def test_the_pace_keeps_the_services_limit(world):
    for name in names(there=True)[:6]:
        world.add(f"song of {name}", name, "Title")
    world.admin.set_limits(musicbrainz=5)
    world.env = {**world.env, "MUSIC_MUSICBRAINZ_PER_SECOND": "4"}
    started = time.monotonic()
    details = world.enrich()
    assert time.monotonic() - started >= 11 / 4
    assert details["genres_calls"] == 12
    assert world.admin.counters()["faults"] == {}
    assert details["genres_found"] == 6


def test_a_nameless_application_is_failed_not_missing(world):
    artist = world.add("s", names(there=True)[0], "Title")
    world.env = {**world.env, "MUSIC_MUSICBRAINZ_USER_AGENT": ""}
    world.enrich()
    assert world.lookup(artist)[0] == "failed"
    assert "403" in world.lookup(artist)[3]


def test_applying_twice_changes_nothing(world):
    artist = world.add("s", names(there=True)[0], "Title")
    world.enrich()
    before = world.query("SELECT * FROM music.fact_song")
    with world.database() as connection:
        assert genres.apply_genres(connection, [artist, "artist nobody"]) == []
    assert world.query("SELECT * FROM music.fact_song") == before
