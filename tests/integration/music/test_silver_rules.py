"""Silver after each kind of story that files tell, against what the rules say in plain Python."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from assets.music.gold.recount import recount
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.silver import references
from tests.integration.music.silver_oracle import state
from tests.integration.music.silver_world import SilverWorld, record

pytestmark = pytest.mark.servers("postgres")

TERMS = [{"name": "hip hop", "weight": 0.5}, {"name": "Rap", "weight": 0.9}]


@pytest.fixture
def world(env: dict[str, str]) -> SilverWorld:
    return SilverWorld(env["POSTGRES_URL"])


def holds(world: SilverWorld) -> None:
    expected = state(world.current.values())
    found = world.state()
    for table, rows in expected.items():
        assert found[table] == rows, table


def h5(name: str = "TR1", **fields):
    return record("hdf5", name, **{"track_id": name, "title": "Song", "artist_name": "A", **fields})


def extract(name: str = "TR1", **fields):
    return record(
        "extract", name, **{"track_id": name, "title": "Song", "artist_name": "A", **fields}
    )


def test_a_song_is_made_of_the_best_of_its_records(world):
    world.load(
        h5(song_id="SO1", artist_id="AR1", tempo=100.0, year=1990, album="LP", album_release_id=7),
        extract(tempo=90.0, loudness=-3.0, genre="Rock"),
        record("song_object", "TR1", track_id="TR1", song_id="SO1", title="Other", energy=0.5),
        record("musixmatch", "TR1", track_id="TR1", lyrics_words=[{"word": "i", "count": 2}]),
    )
    holds(world)
    (fact,) = world.state()["fact_song"].values()
    assert (fact["title"], fact["tempo"], fact["loudness"]) == ("Song", 100.0, -3.0)
    assert fact["genre_key"] == "rock"
    assert fact["provenance"] == {
        "loudness": "extract:TR1", "genre": "extract:TR1", "energy": "song_object:TR1",
    }  # fmt: skip
    assert world.state()["song_lyrics"]["SO1"][:3] == ("found", "file", "musixmatch:TR1")


@pytest.mark.parametrize("together", [True, False])
def test_a_late_file_brings_the_song_id_of_a_track(world, together):
    before = extract(genre="Rock", album="LP")
    (old,) = state([before])["fact_song"]
    if together:
        world.load(before, h5(song_id="SO1", artist_id="AR1", seq=2))
    else:
        world.load(before)
        assert set(world.state()["fact_song"]) == {old}
        result = world.load(h5(song_id="SO1", artist_id="AR1", seq=2), batch="late")
        assert world.touched("late", "song") == {old, "SO1"}
        assert len(world.touched("late", "artist")) == 2
        assert (result.details["songs_new"], result.details["songs_removed"]) == (1, 1)
    holds(world)
    assert set(world.state()["fact_song"]) == {"SO1"}
    assert set(world.state()["dim_artist"]) == {"AR1"}


def test_what_the_service_found_stays_with_a_song_that_gets_its_id(world):
    world.load(extract())
    world.query(
        "UPDATE music.song_lyrics SET status = 'found', source = 'service', text = 'la la',"
        " source_record = 'service:1' RETURNING 1"
    )
    world.load(h5(song_id="SO1", seq=2))
    assert world.state()["song_lyrics"] == {"SO1": ("found", "service", "service:1", "la la", None)}
    world.load(h5(song_id="SO1", seq=3, lyrics_words=[{"word": "a", "count": 1}]))
    assert world.state()["song_lyrics"]["SO1"][1] == "service"
    world.load(h5(song_id="SO1", seq=4, lyrics_text="of a file"))
    assert world.state()["song_lyrics"]["SO1"][1:4] == ("file", "hdf5:TR1", "of a file")
    world.load(h5(song_id="SO1", seq=5))
    assert world.state()["song_lyrics"]["SO1"] == ("pending", None, None, None, None)


def test_words_wait_for_their_song(world):
    words = record("musixmatch", "TR1", track_id="TR1", lyrics_words=[{"word": "i", "count": 2}])
    result = world.load(words)
    assert world.state()["fact_song"] == {}
    assert result.details["songs_new"] == 0
    world.load(extract(seq=2))
    holds(world)
    assert next(iter(world.state()["song_lyrics"].values()))[0] == "found"


def test_words_find_their_song(world):
    world.load(extract())
    assert next(iter(world.state()["song_lyrics"].values()))[0] == "pending"
    world.load(
        record("musixmatch", "TR1", seq=2, track_id="TR1", lyrics_words=[{"word": "i", "count": 2}])
    )
    holds(world)
    assert next(iter(world.state()["song_lyrics"].values()))[0] == "found"


def test_a_newer_version_of_a_file_replaces_what_it_said(world):
    world.load(h5(song_id="SO1", artist_id="AR1", year=1990, tempo=100.0, album="LP"))
    result = world.load(h5(song_id="SO1", artist_id="AR2", year=1991, tempo=None, seq=2), batch="b")
    holds(world)
    assert result.details["songs_changed"] == 1
    assert world.touched("b", "artist") == {"AR1", "AR2"}
    assert len(world.touched("b", "album")) == 1
    assert set(world.state()["dim_date"]) == {0, 1991}


def test_same_titles_of_other_artists_are_other_songs(world):
    world.load(
        record("song_list", "1", title="Hello", artist_name="Adele"),
        record("song_list", "2", title="Hello", artist_name="Lionel Richie"),
        record("song_list", "3", title="HELLO ", artist_name="  adele"),
    )
    holds(world)
    assert len(world.state()["fact_song"]) == 2


def test_albums_of_one_name_belong_to_their_artists(world):
    world.load(
        *(
            h5(f"TR{n}", song_id=f"SO{n}", artist_id=f"AR{n % 2}", album="Greatest Hits")
            for n in range(4)
        ),
        *(h5(f"TR{n}", song_id=f"SO{n}", artist_id=f"AR{n}", album="Sampler", album_release_id=9)
          for n in range(4, 7)),
    )  # fmt: skip
    holds(world)
    assert len(world.state()["dim_album"]) == 3
    assert sum(album == "r-9" for album, _ in world.state()["bridge_album_artist"]) == 3


def test_a_song_of_which_nothing_is_known_is_found_by_inner_joins(world):
    """And is nobody's: gold shows no name of it."""
    world.load(record("song_list", "1", title="Nameless"), batch="b")
    holds(world)
    joined = (
        "SELECT a.name, l.title, g.name, d.label FROM music.fact_song"
        " JOIN music.dim_artist a USING (artist_key) JOIN music.dim_album l USING (album_key)"
        " JOIN music.dim_genre g USING (genre_key) JOIN music.dim_date d USING (year_key)"
    )
    assert world.query(joined) == [("Unknown",) * 4]
    for target in TARGETS.values():
        with psycopg.connect(world.url) as conn:
            replace(conn, target, "b")
            assert recount(conn, target).ok
    assert world.query(
        "SELECT artist, artists, artist_key, album, album_key, genre FROM music.song_details"
    ) == [(None, [], None, None, None, None)]
    summed = ("artist_performance", "album_performance", "genre_by_year")
    assert [world.query(f"SELECT count(*) FROM music.{name}") for name in summed] == [[(0,)]] * 3
    assert {key for kind in ("artist", "album") for key in world.touched("b", kind)} == set()
    world.load(withdrawn=["song_list:1"])
    holds(world)


def test_joined_names_are_several_artists_unless_they_have_an_id(world):
    world.load(
        record("song_list", "1", title="Duet", artist_name="Ann; Bob;ANN;;", album="LP"),
        record("song_list", "2", title="Solo", artist_name="bob", artist_location="Here"),
        h5("TR3", artist_id="AR1", artist_name="Ann;Bob"),
    )
    holds(world)
    artists = {name: location for _, name, _, location, *_ in world.state()["dim_artist"].values()}
    assert artists == {"Ann": None, "Bob": "Here", "Ann;Bob": None}
    world.load(record("song_list", "1", title="Duet", artist_name="Bob;Ann", album="LP", seq=2))
    holds(world)


def test_genres_of_the_artist_reach_songs_that_have_none(world):
    world.load(
        record("extract", "TR9", track_id="TR9", title="B", artist_id="AR1", genre="World"),
        record("song_object", "x", song_id="SO2", title="C", artist_id="AR1"),
    )
    world.load(h5(song_id="SO1", artist_id="AR1", artist_terms=TERMS, seq=2), batch="terms")
    holds(world)
    assert world.state()["fact_song"]["SO2"]["genre_key"] == "rap"
    assert "SO2" in world.touched("terms", "song")
    world.load(h5(song_id="SO1", artist_id="AR1", seq=3,
                  artist_mbtags=[{"name": "Jazz", "weight": 2.0}]))  # fmt: skip
    holds(world)
    assert set(world.state()["dim_genre"]) == {"world", "jazz"}


def test_looked_up_genres_are_the_last_resort(world):
    world.query(
        "INSERT INTO music.artist_genre_lookup (artist_key, status, genre)"
        " VALUES ('AR1', 'found', 'Polka'), ('AR2', 'missing', NULL) RETURNING 1"
    )
    world.load(h5(song_id="SO1", artist_id="AR1"), h5("TR2", song_id="SO2", artist_id="AR2"))
    assert world.state() == state(world.current.values(), {"AR1": "Polka"})
    world.load(h5(song_id="SO1", artist_id="AR1", artist_terms=TERMS, seq=2))
    holds(world)


def test_texts_that_no_database_likes(world):
    world.load(
        record(
            "song_list", "1", title='So, "what"\n\\.\r\n?', artist_name="AC/DC #1 & Ünïcødé 🎸",
            album="\\N", lyrics_text="a\x00b\nc", genre="\t",
            artist_terms=[{"name": 'x"y\x00\\', "weight": None}],
        ),
        record("song_list", "2", title="", artist_name="", album=""),
    )  # fmt: skip
    (song,) = (f for f in world.state()["fact_song"].values() if f["title"])
    assert song["title"] == 'So, "what"\n\\.\r\n?'
    assert world.state()["dim_album"][song["album_key"]][0] == "\\N"
    assert [y[3] for y in world.state()["song_lyrics"].values() if y[3]] == ["ab\nc"]
    assert [term for _, _, term in world.state()["bridge_artist_term"]] == ['x"y\\']


def test_a_batch_again_changes_no_row(world):
    batch = [
        h5(song_id="SO1", artist_id="AR1", artist_terms=TERMS, album="LP", year=1990),
        extract(lyrics_text="la", genre="Pop"),
        record("song_list", "1", title="Duet", artist_name="Ann;Bob", album="LP"),
        record("musixmatch", "TR7", track_id="TR7", lyrics_words=[{"word": "i", "count": 2}]),
    ]
    world.load(*batch)
    before = world.versions(), world.hashes()
    result = world.load(*batch, batch="batch-1")
    assert (world.versions(), world.hashes()) == before
    assert (result.unchanged, result.details["songs_unchanged"]) == (4, 2)
    assert world.touched("batch-1", "song") == set(world.hashes())


def test_chunks_may_cut_a_batch_anywhere(world):
    rows = [h5(f"TR{n}", song_id=f"SO{n // 2}", artist_id=f"AR{n % 3}") for n in range(7)]
    world.load(*rows, chunk_rows=2)
    holds(world)
    assert len(world.state()["fact_song"]) == 4


@pytest.mark.parametrize("role", ["owner", "guest"])
def test_a_large_first_load_leaves_the_foreign_keys_as_they_were(world, monkeypatch, role):
    def foreign_keys() -> list[tuple]:
        return world.query(
            "SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2"
        )

    before = foreign_keys()
    assert len(before) > 10
    monkeypatch.setattr(references, "MANY", 3)
    if role == "guest":
        monkeypatch.setattr(references, "_OWNED", "SELECT false WHERE %s::text[] IS NOT NULL")
    taken = []
    original = references.take_away

    def take_away(conn: Any) -> Any:
        taken.append(original(conn))
        return taken[-1]

    monkeypatch.setattr(references, "take_away", take_away)
    world.load(
        h5(song_id="SO1", artist_id="AR1", artist_terms=TERMS, album="LP", year=1990),
        extract(lyrics_text="la", genre="Pop"),
        record("song_list", "1", title="Duet", artist_name="Ann;Bob", album="LP"),
    )
    holds(world)
    assert foreign_keys() == before
    assert [bool(keys) for keys in taken] == [role == "owner"]
    world.load(h5("TR2", song_id="SO2", seq=2))
    assert len(taken) == 1
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        world.query("DELETE FROM music.dim_artist RETURNING 1")


def test_a_name_is_the_artist_whose_id_comes_beside_it_and_goes(world):
    """Whichever comes first: the songs of the name follow, and so do spellings of it."""
    named = record("song_list", "1", title="One", artist_name="The Byrds", album="LP")
    other = record("song_list", "2", title="Two", artist_name="Byrds, The;Cher", album="LP")
    world.load(named, other)
    holds(world)
    assert all(key.startswith("fp-") for key in world.state()["dim_artist"])
    with_id = h5("TR3", song_id="SO3", artist_id="AR1", artist_name="the byrds", seq=2)
    world.load(with_id, batch="id")
    holds(world)
    assert {key for key in world.state()["dim_artist"] if not key.startswith("fp-")} == {"AR1"}
    assert len(world.state()["dim_artist"]) == 2
    songs = {fact["title"]: fact["artist_key"] for fact in world.state()["fact_song"].values()}
    assert songs["One"] == songs["Two"] == "AR1"
    assert len(world.touched("id", "song")) == 3
    world.load(withdrawn=[with_id["record_key"]])
    holds(world)
    assert all(key.startswith("fp-") for key in world.state()["dim_artist"])
    assert len(world.state()["dim_artist"]) == 3
