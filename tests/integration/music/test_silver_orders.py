"""Silver holds what its records say, in whatever order and company they arrive."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.music.silver_oracle import UNKNOWN, state
from tests.integration.music.silver_world import SilverWorld, record

pytestmark = pytest.mark.servers("postgres")


def maybe(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([None, None, *values])


ITEMS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["rock", "Rock", "jazz", "pop"]),
            "weight": st.sampled_from([None, 0.25, 0.5, 3.0]),
        }
    ),
    max_size=3,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "song_id": maybe("SO1", "SO2"),
        "track_id": st.sampled_from(["TR1", "TR2", "TR3"]),
        "title": maybe("One", "one ", "Two", "Two (feat. Cee)"),
        "artist_name": maybe("Ann", "ann", "Ann;Bob", "Bob; ann;", "Cee"),
        "artist_id": maybe("AR1", "AR2"),
        "artist_mbid": maybe("mbid-1", "mbid-2"),
        "artist_location": maybe("Here", "There"),
        "artist_latitude": maybe(1.5),
        "artist_longitude": maybe(-2.5),
        "album": maybe("LP", "lp", "EP"),
        "album_release_id": maybe(0, -1, 7, 8),
        "year": maybe(1990, 2001),
        "tempo": maybe(90.5, 120.0, 181.0),
        "duration": maybe(100.0, 101.5, 300.0),
        "key": maybe(0, 11),
        "energy": maybe(0.5),
        "genre": maybe("Rock", "rock", "Polka"),
        "genres": maybe([], [{"name": "Jazz"}, {"name": "ROCK"}], [{"name": "Polka"}]),
        "tags": maybe([{"name": "x", "weight": 7.0}, {"name": "y", "weight": 0.0}]),
        "similars": maybe([{"track_id": "TR1", "score": 0.5}], [{"track_id": "TR1", "score": 1.0}]),
        "lyrics_text": maybe("la", "le"),
        "lyrics_words": maybe([], [{"word": "a", "count": 1}]),
        "artist_terms": st.none() | ITEMS,
        "artist_mbtags": st.none() | ITEMS,
    },
)
VERSION = st.tuples(
    st.sampled_from(
        ["hdf5", "extract", "song_list", "song_object", "lyrics", "musixmatch", "lastfm"]
    ),
    st.sampled_from("abc"),
    FIELDS,
)
#: Batches of records that differ in their key, in the order in which their files came.
ARRIVALS = st.lists(
    st.lists(VERSION, min_size=1, max_size=4, unique_by=lambda v: v[:2]), min_size=1, max_size=4
)


@pytest.fixture
def world(env: dict[str, str]) -> SilverWorld:
    return SilverWorld(env["POSTGRES_URL"])


def numbered(arrivals: list[list[Any]]) -> list[list[dict[str, Any]]]:
    """Each batch is one file, so that its records are of one age; no two versions are equal."""
    return [
        [record(kind, name, seq=seq, musixmatch_id=seq, **fields) for kind, name, fields in batch]
        for seq, batch in enumerate(arrivals, start=1)
    ]


def assert_touched(world: SilverWorld, batch: str, before: Any, after: Any) -> None:
    """What is derived of a song, an artist or an album hears of every change."""

    def changed(table: str) -> set[Any]:
        old, new = before[table], after[table]
        return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}

    songs = changed("fact_song") | changed("song_lyrics")
    credited = changed("bridge_song_artist")
    artists = changed("dim_artist") | {artist for _, artist in credited}
    albums = changed("dim_album") | {album for album, _ in changed("bridge_album_artist")}
    shown = {"genre_key", "provenance"}
    for song in changed("fact_song"):
        old, new = (
            {k: v for k, v in s["fact_song"].get(song, {}).items() if k not in shown}
            for s in (before, after)
        )
        if old != new:
            artists |= {a for s in (before, after) for k, a in s["bridge_song_artist"] if k == song}
            albums |= {f["album_key"] for f in (old, new) if "album_key" in f} - {UNKNOWN}
    renamed = {k for k in changed("dim_artist") if k in before["dim_artist"]}
    songs |= {
        song for song, artist in after["bridge_song_artist"]
        if artist in renamed and before["dim_artist"][artist][1] != after["dim_artist"][artist][1]
    }  # fmt: skip
    assert songs | {song for song, _ in credited} <= world.touched(batch, "song")
    assert artists <= world.touched(batch, "artist")
    assert albums <= world.touched(batch, "album")


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(arrivals=ARRIVALS, data=st.data())
def test_any_order_leads_to_the_state_that_the_rules_say(world, arrivals, data):
    batches = numbered(arrivals)
    hashes = []
    for _ in range(2):
        world.clear()
        order = data.draw(st.permutations(range(len(batches))))
        for number in order:
            before = world.state()
            world.load(*batches[number], batch=f"b{number}")
            after = world.state()
            assert_touched(world, f"b{number}", before, after)
            assert after == state(world.current.values())
        hashes.append(world.hashes())
        written = world.versions()
        world.load(*world.current.values())
        assert world.versions() == written
    world.clear()
    latest = {row["record_key"]: row for batch in batches for row in batch}
    world.load(*latest.values())
    assert world.hashes() == hashes[0] == hashes[1]
    gone = data.draw(st.lists(st.sampled_from(sorted(world.current)), unique=True))
    before = world.state()
    world.load(batch="gone", withdrawn=gone)
    after = world.state()
    assert_touched(world, "gone", before, after)
    assert after == state(world.current.values())
    written = world.versions()
    world.load(withdrawn=gone)
    assert world.versions() == written
