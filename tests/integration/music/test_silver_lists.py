"""Genres, tags and similar tracks of songs: kept, changed, given up, whatever comes how often."""

from __future__ import annotations

import psycopg
import pytest

from assets.music.answers import NothingToCompareError, UnknownSongError
from assets.music.search.similar_songs import by_listeners
from tests.integration.music.silver_oracle import state
from tests.integration.music.silver_world import SilverWorld, record

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def world(env: dict[str, str]) -> SilverWorld:
    return SilverWorld(env["POSTGRES_URL"])


def holds(world: SilverWorld) -> dict:
    found = world.state()
    assert found == state(world.current.values())
    return found


def track(name: str = "TR1", song: str = "SO1"):
    return record("unique_tracks", name, track_id=name, song_id=song, title=song, artist_name="A")


def genres(file: str, *names: str, seq: int = 1, name: str = "TR1"):
    listed = [{"name": one} for one in names]
    return record("genres", f"{name}:{file}", track_id=name, seq=seq, genre=names[0], genres=listed)


def test_every_genre_is_there_once_and_the_best_is_the_songs(world):
    world.load(track(), genres("cd1", "Rock", "Punk"), genres("magd", "Pop_Rock", "rock", seq=2))
    found = holds(world)
    assert found["bridge_song_genre"] == {
        ("SO1", "pop_rock"): (1, "genres:TR1:magd"), ("SO1", "rock"): (2, "genres:TR1:magd"),
        ("SO1", "punk"): (3, "genres:TR1:cd1"),
    }  # fmt: skip
    assert found["fact_song"]["SO1"]["genre_key"] == "pop_rock"
    assert set(found["dim_genre"]) == {"pop_rock", "rock", "punk"}


def test_a_rewritten_file_takes_its_genres_along_and_twice_is_once(world):
    world.load(track(), genres("cd1", "Rock", "Punk"))
    world.load(genres("cd1", "Jazz", seq=2))
    found = holds(world)
    assert set(found["dim_genre"]) == {"jazz"}
    before = world.versions()
    world.load(*world.current.values())
    assert world.versions() == before


def test_genres_wait_for_their_song_and_go_with_it_when_it_gets_its_id(world):
    world.load(genres("cd1", "Rock", "Punk"))
    assert world.state()["bridge_song_genre"] == {}
    world.load(record("extract", "TR1", track_id="TR1", title="T", artist_name="A"))
    assert len(holds(world)["bridge_song_genre"]) == 2
    world.load(track())
    assert set(holds(world)["bridge_song_genre"]) == {("SO1", "rock"), ("SO1", "punk")}


def test_nothing_of_a_load_that_is_cut_off_is_kept(world, monkeypatch):
    world.load(track(), genres("cd1", "Rock"))
    before = world.versions()

    def killed(*_):
        raise psycopg.OperationalError("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr("assets.music.silver.removal.note_touched", killed)
        with pytest.raises(psycopg.OperationalError):
            world.load(genres("cd1", "Jazz", seq=2))
    assert world.versions() == before
    world.load(genres("cd1", "Jazz", seq=3))
    assert set(holds(world)["bridge_song_genre"]) == {("SO1", "jazz")}


def test_similar_tracks_are_songs_once_these_have_come(world):
    listed = [("TR2", 0.5), ("TR3", 0.9), ("TR4", 1.0), ("TR1", 1.0)]
    tags = [{"name": "60s", "weight": 50.0}, {"name": "soul", "weight": 100.0}]
    world.load(
        track(), track("TR2", "SO2"), track("TR3", "SO3"),
        record("lastfm", "TR1", track_id="TR1", title="SO1", tags=tags,
               similars=[{"track_id": other, "score": score} for other, score in listed]),
    )  # fmt: skip
    found = holds(world)
    assert found["bridge_song_tag"] == {("SO1", "60s"): 50.0, ("SO1", "soul"): 100.0}
    world.writer.execute(
        "INSERT INTO music.song_details (song_key, artists, track_ids, lyrics_status, has_lyrics,"
        " row_hash) SELECT song_key, '{}', '{}', 'pending', false, 'h' FROM music.fact_song"
    )

    def similar(k: int) -> list:
        return [(one.song_key, one.value) for one in by_listeners(world.reader, "SO1", k)]

    assert similar(10) == [("SO3", 0.9), ("SO2", 0.5)]
    world.load(track("TR4", "SO4"))
    assert similar(2) == [("SO4", 1.0), ("SO3", 0.9)]
    with pytest.raises(NothingToCompareError, match="'SO2' has no similar tracks"):
        by_listeners(world.reader, "SO2", 1)
    with pytest.raises(UnknownSongError):
        by_listeners(world.reader, "SO9", 1)
