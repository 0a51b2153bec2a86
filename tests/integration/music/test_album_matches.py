"""A title without a release id is the album of one, in whatever order the two arrive."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.music.gold.recount import recount
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.silver.doubles import disagreements, likely_doubles
from tests.integration.music.silver_oracle import album_key, state
from tests.integration.music.silver_world import Record, SilverWorld, record

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def world(env: dict[str, str]) -> SilverWorld:
    return SilverWorld(env["POSTGRES_URL"])


def named(song: str, album: str = "Best Of", artist: str = "Ann", **fields: Any) -> Record:
    return record("song_list", song, title=song, artist_name=artist, album=album, **fields)


def of_release(
    song: str, release: int | None, album: str | None = "Best Of", **fields: Any
) -> Record:
    said = {"song_id": f"SO{song}", "artist_id": "AR1", "artist_name": "Ann", **fields}
    return record("hdf5", song, title=song, album=album, album_release_id=release, **said)


def holds(world: SilverWorld) -> None:
    assert world.state() == state(world.current.values())
    assert disagreements(world.reader) == 0


def albums(world: SilverWorld) -> dict[str, str]:
    """Title of the song to the key of its album, ``name`` for one of a title."""
    facts = world.state()["fact_song"].values()
    short = {f["title"]: f["album_key"] for f in facts}
    return {song: "name" if key.startswith("fp-") else key for song, key in short.items()}


def leads_to(world: SilverWorld, key: str) -> list[str]:
    return [
        album
        for (album,) in world.query(
            "SELECT album_key FROM music.album_redirect WHERE old_key = %s", key
        )
    ]


def key_of(world: SilverWorld, song: str) -> str:
    [(key,)] = world.query("SELECT album_key FROM music.fact_song WHERE title = %s", song)
    return key


def matches(world: SilverWorld) -> set[tuple[Any, ...]]:
    return set(
        world.query("SELECT match_title, album_key, reason, confidence FROM music.album_match")
    )


def performance(world: SilverWorld, batch: str) -> dict[str, int]:
    """Songs by album, as gold has them after a batch."""
    target = TARGETS["album_performance"]
    with psycopg.connect(world.url) as conn:
        replace(conn, target, batch)
        assert recount(conn, target).ok
    return dict(world.query("SELECT album_key, songs FROM music.album_performance"))


def test_titles_follow_the_release_id_that_comes_and_goes(world):
    """The artist has an id from another record: the title alone says which album it is."""
    world.load(of_release("One", None, album=None), named("Two", "best of"), named("Three"))
    holds(world)
    before = key_of(world, "Two")
    world.load(of_release("Four", 7, "BEST OF!", seq=2), batch="id")
    holds(world)
    assert {key_of(world, song) for song in ("Two", "Three", "Four")} == {"r-7"}
    assert matches(world) == {("best of", "r-7", "title", 0.8)}
    assert leads_to(world, before) == ["r-7"]
    assert {"r-7", before} <= world.touched("id", "album")
    assert performance(world, "id") == {"r-7": 3}
    world.load(withdrawn=["hdf5:Four"], batch="gone")
    holds(world)
    assert key_of(world, "Two") == before
    assert matches(world) == set()
    assert leads_to(world, before) == []
    assert leads_to(world, "r-7") == [before]
    assert performance(world, "gone") == {before: 2}


def test_of_several_ids_the_smallest_and_two_ids_stay_two(world):
    world.load(of_release("One", 9), named("Two"))
    holds(world)
    assert matches(world) == {("best of", "r-9", "title", 0.8)}
    world.load(of_release("Three", 10, seq=2))
    holds(world)
    assert matches(world) == {("best of", "r-9", "title of several", 0.4)}
    assert albums(world) == {"One": "r-9", "Two": "r-9", "Three": "r-10"}
    assert likely_doubles(world.reader, 9)["album"] == [("Ann / best of", "r-10 r-9")]
    world.load(of_release("Four", 5, seq=3))
    holds(world)
    assert albums(world) == {"One": "r-9", "Two": "r-5", "Three": "r-10", "Four": "r-5"}
    world.load(withdrawn=["hdf5:Four"])
    holds(world)
    assert albums(world)["Two"] == "r-9"
    assert leads_to(world, "r-5") == ["r-9"], "its title went on"


def test_a_redirect_follows_what_its_title_is(world):
    world.load(named("One"), of_release("Two", None, album=None))
    before = key_of(world, "One")
    world.load(of_release("Three", 9, seq=2))
    assert leads_to(world, before) == ["r-9"]
    world.load(of_release("Four", 5, seq=3))
    assert leads_to(world, before) == ["r-5"]
    world.load(of_release("Four", 4, seq=4))
    holds(world)
    assert leads_to(world, before) == leads_to(world, "r-5") == ["r-4"]


def test_titles_of_other_artists_and_other_editions_stay_apart(world):
    world.load(
        of_release("One", 7),
        named("Two", artist="Bob"),
        named("Three", "Best Of (Deluxe)"),
        named("Four", "!"),
        record("song_list", "5", title="Five", album="Best Of"),
        # Bob has a song on the album of that id: it is his, too.
        of_release("Six", 8, "Duets", artist_id="AR2", artist_name="Bob"),
        of_release("Seven", 8, "Duets"),
        named("Eight", "duets", artist="Bob"),
        named("Nine", "duets", artist="Cher"),
    )
    holds(world)
    found = albums(world)
    assert found["Eight"] == "r-8"
    assert {found[song] for song in ("Two", "Three", "Four", "Five", "Nine")} == {"name"}
    assert matches(world) == {("duets", "r-8", "title", 0.8)}


def test_a_title_follows_its_artist_to_the_album(world):
    world.load(named("One"), named("Two", "Other"))
    old, other = key_of(world, "One"), key_of(world, "Two")
    world.load(of_release("Three", 7, seq=2))
    holds(world)
    assert albums(world) == {"One": "r-7", "Three": "r-7", "Two": "name"}
    assert leads_to(world, old) == ["r-7"]
    assert leads_to(world, other) == [key_of(world, "Two")], "the artist has an id now"


def test_numbers_and_untitled_name_albums_of_an_artist(world):
    world.load(
        of_release("One", 7, "21"), named("Two", "21"),
        of_release("Three", 8, "Untitled"), named("Four", "UNTITLED"),
    )  # fmt: skip
    holds(world)
    assert albums(world) == {"One": "r-7", "Two": "r-7", "Three": "r-8", "Four": "r-8"}


def test_songs_of_before_titles_were_kept_are_caught_up_with(world):
    world.load(of_release("One", 7), named("Two"), named("Three", "Other"))
    whole = world.state()
    own = album_key(named("Two"), "AR1") or ""
    with psycopg.connect(world.url) as conn:
        conn.execute("INSERT INTO music.dim_album (album_key) VALUES (%s)", (own,))
        conn.execute(
            "UPDATE music.fact_song SET album_key = %s, row_hash = '' WHERE title = 'Two'", (own,)
        )
        for table in ("album_name", "album_match"):
            conn.execute(f"DELETE FROM music.{table}")
    world.load(named("Four", "Unrelated", artist="Zed", seq=2))
    holds(world)
    assert whole["album_match"] == world.state()["album_match"] == {own: ("r-7", "title")}
    assert leads_to(world, own) == ["r-7"]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE music.album_match SET album_key = 'r-9'",
        "DELETE FROM music.album_match",
        "UPDATE music.fact_song SET album_key = 'r-9' WHERE title = 'Two'",
        "UPDATE music.fact_song SET album_key = 'r-7' WHERE title = 'Three'",
        "INSERT INTO music.album_redirect (old_key, album_key) VALUES ('r-7', 'r-9')",
        "INSERT INTO music.album_name SELECT artist_key, 'gone', 'r-1' FROM music.dim_artist",
    ],
)
def test_the_check_finds_what_does_not_hold(world, harm):
    world.load(of_release("One", 7), named("Two"), of_release("Three", 9, "Other"))
    assert disagreements(world.reader) == 0
    with psycopg.connect(world.url) as conn:
        conn.execute(harm)
    assert disagreements(world.reader) > 0


SONG = st.fixed_dictionaries(
    {
        "album": st.sampled_from([None, "LP", "lp", "L.P.", "EP"]),
        "album_release_id": st.sampled_from([None, None, 0, 7, 8]),
        "artist_name": st.sampled_from([None, "Ann", "ann", "Ann;Bob", "Bob"]),
        "artist_id": st.sampled_from([None, None, "AR1", "AR2"]),
        "track_id": st.sampled_from(["TR1", "TR2", "TR3", "TR4"]),
    }
)
VERSION = st.tuples(st.sampled_from(["hdf5", "song_list"]), st.sampled_from("abc"), SONG)
ARRIVALS = st.lists(
    st.lists(VERSION, min_size=1, max_size=4, unique_by=lambda v: v[:2]), min_size=2, max_size=5
)


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(arrivals=ARRIVALS, data=st.data())
def test_any_order_of_titles_and_ids_leads_to_the_same_albums(world, arrivals, data):
    world.clear()
    batches = [
        # No two versions are equal: one that is keeps the place of the first.
        [
            record(kind, name, seq=seq, musixmatch_id=seq, title=said["track_id"], **said)
            for kind, name, said in batch
        ]
        for seq, batch in enumerate(arrivals, start=1)
    ]
    for number in data.draw(st.permutations(range(len(batches)))):
        world.load(*batches[number])
        holds(world)
    written = world.versions()
    world.load(*world.current.values())
    assert world.versions() == written
    world.load(withdrawn=data.draw(st.lists(st.sampled_from(sorted(world.current)), unique=True)))
    holds(world)
