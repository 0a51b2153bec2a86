"""Songs in Typesense: what is written, changed, gone, refused; and searching them."""

from __future__ import annotations

import json
import random
import re
import signal
from collections import Counter
from dataclasses import replace

import pytest

from assets.music.answers import FoundSong, FoundSongs, search_songs
from assets.music.search import song_documents
from assets.music.search.song_rows import TouchedPages
from landing.batch.failures import PermanentError, TransientError, classify
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests import forks
from tests.integration.music import search_killed
from tests.integration.music.search_world import (
    ODD_KEYS,
    Song,
    World,
    generated,
    holding,
    hymns,
)

pytestmark = pytest.mark.servers("postgres", "typesense")


class Index:
    def __init__(self, env, client):
        self.env, self.client = env, client
        self.name = env["MUSIC_TYPESENSE_COLLECTION"]
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.world = World(env["POSTGRES_URL"])
        self.store = song_documents.store(client, self.name)

    def pages(self, batch, rows=1_000):
        return TouchedPages(self.pg, batch, rows)

    def write(self, batch, rows=1_000):
        return song_documents.write(self.pages(batch, rows), self.store, self.pg)

    def verify(self, batch):
        return song_documents.verify(self.pages(batch), self.store, self.pg)

    def documents(self):
        lines = self.client.collections[self.name].documents.export().split("\n")
        return {document["id"]: document for document in map(json.loads, filter(None, lines))}

    def assert_holds_the_world(self):
        documents = self.documents()
        assert set(documents) == set(self.world.songs)
        for key, song in self.world.songs.items():
            found = documents[key]
            assert found["row_hash"] == song.row_hash
            assert found.get("title") == song.title
            assert tuple(found["artists"]) == song.artists
            assert found.get("artist") == next(iter(song.artists), None)
            assert (found.get("album"), found.get("genre")) == (song.album, song.genre)
            assert (found.get("year"), found.get("lyrics")) == (song.year, song.text)
            assert found.get("stems") == (None if song.text else song.lyrics)
        assert self.store.count() == len(self.world.songs)

    def search(self, term, limit=100, **filters):
        return search_songs(self.store, term, limit, **filters)


@pytest.fixture
def index(env):
    resource = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    with resource.client() as client:
        yield Index(env, client)


def odd_songs():
    return [
        Song(key, f"Title of {key}", ("A/B", "C;D?"), "R#1", "R&B", 2000 + n, f"lyrics {n}")
        for n, key in enumerate(ODD_KEYS)
    ]


def test_written_twice_then_changed_then_gone(index):
    index.world.put("b1", [*odd_songs(), Song("SOBARE"), Song("SOBAG", words=(("a", 1), ("b", 9)))])
    first = index.write("b1", rows=5)
    songs = len(ODD_KEYS) + 2
    assert (first.rows_written, first.unchanged, first.deleted) == (songs, 0, 0)
    assert first.details == {"with_lyrics": songs - 1}
    index.assert_holds_the_world()
    assert index.verify("b1").ok
    assert index.verify("b1").expected == songs

    before = index.documents()
    again = index.write("b1")
    assert (again.rows_written, again.unchanged, again.deleted) == (songs, songs, 0)
    assert index.documents() == before

    index.world.change("b2", "a/b", title="Another", genre=None, year=None, text=None)
    index.world.change("b2", "SOBARE", title="Now it has one")
    changed = index.write("b2")
    assert (changed.rows_written, changed.unchanged) == (2, 0)
    index.assert_holds_the_world()
    assert index.verify("b2").ok
    assert index.verify("b1").ok  # today's songs are what counts

    gone = [key for key in ODD_KEYS if key != "what?"]
    index.world.drop("b3", gone)
    dropped = index.write("b3", rows=3)
    assert (dropped.rows_written, dropped.deleted) == (0, len(gone))
    index.assert_holds_the_world()
    assert index.verify("b3").ok
    assert index.write("b3").deleted == 0


def test_songs_of_an_artist_whose_name_changed(index):
    index.world.put("b1", [Song("SO1", "a", ("Old", "X")), Song("SO2", "b", ("X", "Old"))])
    index.world.put("b1", [Song("SO3", "c", ("Other",))])
    index.write("b1")
    index.world.rename_artist("b2", "Old", "New")
    assert index.write("b2").rows_written == 2
    index.assert_holds_the_world()
    assert index.verify("b2").expected == 2


def test_what_is_missing_other_or_too_much_is_found(index):
    index.world.put("b1", odd_songs())
    index.write("b1")
    index.world.change("b1", "a/b", title="Not written")
    index.world.put("b1", [Song("SONEW", "Not written")])
    index.world.drop("b1", ["what?", "no#1"])
    found = index.verify("b1")
    assert (found.missing, found.differing, found.unexpected) == (1, 1, 2)
    assert set(found.sample) == {"SONEW", "a/b", "what?", "no#1"}


def test_more_songs_than_one_page_and_one_answer(index):
    index.world.put("b1", [Song(f"SO{n:04d}", f"Song {n}") for n in range(620)])
    assert index.write("b1", rows=310).rows_written == 620
    assert index.verify("b1").ok
    assert index.store.count() == 620
    everything = index.search("*")
    assert (everything.found, len(everything.songs)) == (620, 100)
    assert [song.song_key for song in everything.songs] == [f"SO{n:04d}" for n in range(100)]


@pytest.mark.parametrize(("survived", "written"), [(0, 0), (1, 2), (2, 2), (3, 4)])
def test_killed_between_two_calls(index, survived, written):
    """Two songs a page, an import and a deletion for each; the next run ends what was begun."""
    index.world.put("b0", odd_songs()[:4])
    index.write("b0")
    index.world.put("b1", [replace(song, title="New") for song in odd_songs()])
    index.world.drop("b1", [max(ODD_KEYS)])
    assert forks.exit_code_of(search_killed.main, "songs", "b1", survived) == -signal.SIGKILL
    new = [document for document in index.documents().values() if document.get("title") == "New"]
    assert len(new) == written
    index.write("b1")
    index.assert_holds_the_world()
    assert index.verify("b1").ok


def test_a_refused_document_is_an_error_that_names_it(index, monkeypatch):
    index.world.put("b1", [Song("SO1", "a", year=1999), Song("SO2", "b"), Song("SO3", "c")])
    document = song_documents.document
    monkeypatch.setattr(
        song_documents,
        "document",
        lambda song: document(song) | ({"year": "soon"} if song.song_key == "SO1" else {}),
    )
    with pytest.raises(PermanentError, match=r"refused 1 of 3 documents, among them SO1: 1 x 400"):
        index.write("b1")
    monkeypatch.undo()
    index.write("b1")
    index.assert_holds_the_world()


def test_a_collection_with_other_fields_is_not_written(index):
    fields = [{"name": "title", "type": "string"}]
    index.client.collections.create({"name": index.name, "fields": fields})
    index.world.put("b1", [Song("SO1", "a")])
    with pytest.raises(PermanentError, match=r"other fields.*lyrics.*drop it.*backfill"):
        index.write("b1")
    assert index.store.count() == 0


def test_a_collection_that_ends_words_elsewhere_is_not_written(index):
    replace(index.store, separators=()).ensure()
    index.world.put("b1", [Song("SO1", "a/b")])
    with pytest.raises(PermanentError, match=r"other fields.*token_separators.*drop it.*backfill"):
        index.write("b1")
    assert index.store.count() == 0


def test_no_collection_holds_nothing(index):
    assert index.store.count() == 0
    with pytest.raises(PermanentError, match="Not found"):
        index.search("anything")


def test_failures_are_classed(index):
    index.world.put("b1", [Song("SO1", "a")])
    stranger = TypesenseResource(url=index.env["TYPESENSE_URL"], api_key="wrong")
    with stranger.client() as client, pytest.raises(PermanentError, match="401"):
        song_documents.write(index.pages("b1"), song_documents.store(client, index.name), index.pg)
    nobody = TypesenseResource(url="http://127.0.0.1:1", api_key="x")
    with nobody.client() as client, pytest.raises(Exception, match="refused") as caught:
        song_documents.write(index.pages("b1"), song_documents.store(client, index.name), index.pg)
    assert classify(caught.value) == "transient"
    assert not isinstance(caught.value, TransientError | PermanentError)


@pytest.fixture(params=["generated", "hymns"])
def corpus(request, index):
    found = generated() if request.param == "generated" else hymns()
    if found is None:
        pytest.skip("the real hymns are wanted: QUINTET_DATA_DIR is not set")
    songs, _ = found
    index.world.put("b1", songs)
    index.write("b1")
    return songs


WORDS = ("redemption", "shepherd", "stranger", "harbour", "mountain", "sheaves", "anchor")


def test_a_word_finds_exactly_the_songs_that_hold_it(index, corpus):
    """The expected songs are counted with Python's substring search over the texts."""
    answered = 0
    for word in WORDS:
        in_fields = {
            song.key
            for song in corpus
            if word in " ".join([song.title or "", *song.artists, song.album or ""]).casefold()
        }
        expected = holding(corpus, word) | in_fields
        if expected:
            found = index.search(word)
            assert {song.song_key for song in found.songs} == expected, word
            assert found.found == len(expected)
            answered += 1
    assert answered >= 3


def test_the_same_again_and_fewer_are_the_first_of_more(index, corpus):
    for term in ("redemption", "river of silver", "shepherd", "love", "*"):
        many = index.search(term, 50).songs
        assert index.search(term, 50).songs == many
        assert index.search(term, 3).songs == many[:3]
    index.write("b1")
    assert index.search("*", 50).songs == many


def test_typing_errors(index, corpus):
    right = {song.song_key for song in index.search("redemption").songs}
    assert right
    for wrong in ("redemtion", "redemptoin", "rademption"):
        assert {song.song_key for song in index.search(wrong).songs} == right
    assert index.search("zzzzqqqxxyy").found == 0


def test_titles_artists_and_facets(index):
    songs, _ = generated()
    index.world.put("b1", songs)
    index.write("b1")
    everything = index.search("*")
    assert dict(everything.genres) == Counter(s.genre for s in songs if s.genre)
    assert dict(everything.years) == Counter(s.year for s in songs if s.year)
    assert dict(everything.decades) == Counter(int(f"{s.year}"[:3] + "0") for s in songs if s.year)
    assert dict(everything.artists) == Counter(name for s in songs for name in set(s.artists))
    for facet in (everything.genres, everything.decades, everything.artists):
        assert list(facet) == sorted(facet, key=lambda one: (-one[1], one[0]))

    for genre, given in (("R&B", " r&b"), ("hip hop", "Hip  Hop"), ("Rock", "Rock")):
        expected = {s.key for s in songs if s.genre == genre}
        assert {s.song_key for s in index.search("*", genre=given).songs} == expected
    both = index.search("river", genre="Rock", year=1999)
    assert {s.song_key for s in both.songs} == {
        s.key
        for s in songs
        if s.genre == "Rock" and s.year == 1999
        and re.search(r"\briver", f"{s.title} {s.text}", re.IGNORECASE)
    }  # fmt: skip
    by_artist = index.search("jo/jo")
    assert {s.song_key for s in by_artist.songs} == {s.key for s in songs if "Jo/Jo" in s.artists}
    theme = next(s for s in songs if s.key == "SOTHEME3")
    assert index.search("No 3").songs[0] == FoundSong(
        "SOTHEME3", "No 3", "Us", ("Us",), "All", "Folk", theme.year
    )


#: Titles with words that something else than a space ends, and terms that are to find each first.
JOINED = {
    "Night Piece, Act III/Toute mon âme est là": ("toute mon âme est là", "toute", "iii toute"),
    "Odyssey/Movement 7": ("movement 7", "odyssey movement", "movement"),
    "Rock-n-Roll_Again": ("rock n roll", "rock-n-roll", "roll again", "again"),
    "Back in Black (AC/DC cover)": ("ac dc", "ac/dc", "dc cover"),
}


def test_words_end_at_slashes_hyphens_and_underscores(index):
    index.world.put("b1", [Song(f"SO{n}", title) for n, title in enumerate(JOINED)])
    index.write("b1")
    for title, terms in JOINED.items():
        for term in terms:
            assert index.search(term).songs[0].title == title, term


def test_what_is_called_like_the_term_comes_before_what_mentions_it(index):
    songs = [
        Song("SO1", "Ashes", ("Quartet",), "Moon River", text="moon river " * 50),
        Song("SO2", "Moon River Blues", ("Trio",), text="moon river " * 9),
        Song("SO3", "Moon River", ("Nobody",)),
        Song("SO4", "Something", ("Moon River",)),
        Song("SO5", "River of the Moon", ("Duo",), text="by the river the moon"),
    ]
    index.world.put("b1", songs)
    index.write("b1")
    found = [song.song_key for song in index.search("moon river").songs]
    assert set(found[:2]) == {"SO3", "SO4"}
    assert set(found) == {song.key for song in songs}
    # In quotation marks it is a phrase: the words next to each other, in this order.
    phrase = {song.song_key for song in index.search('"moon river"').songs}
    assert phrase == {"SO1", "SO2", "SO3", "SO4"}


def test_words_find_the_songs_of_which_only_stems_are_known(index):
    """Which songs hold which words is written here by hand, stems as musiXmatch has them."""
    bags = {
        "SOBAG1": "littl babi heaven cri not",
        "SOBAG2": "babi littl love",
        "SOBAG3": "run love littl",
        "SOBAG4": "day babi",
    }
    songs = [
        *(Song(key, f"T {key}", ("Bags",), None, "Pop", 1999,
               words=tuple((word, 9 - n) for n, word in enumerate(stems.split())))
          for key, stems in bags.items()),
        Song("SOTEXT1", "Hush", ("Us",), None, "Folk", 1968, "hush little baby, do not weep"),
        Song("SOTEXT2", "Babies", ("Us",), None, "Folk", 1968, "littl babi is how a stem looks"),
        Song("SOTITLE", "Little Baby", ("Bags",), None, "Pop", 1975,
             words=(("littl", 2), ("babi", 1))),
        Song("SONAMED", "Baby Little", ("Bags",), None, "Pop", 1975, words=(("else", 2),)),
    ]  # fmt: skip
    index.world.put("b1", songs)
    index.write("b1")
    found = index.search("little baby")
    assert {song.song_key for song in found.songs} == {
        "SOBAG1", "SOBAG2", "SOTEXT1", "SOTITLE", "SONAMED"
    }  # fmt: skip
    # As it is written before what holds the stems; the title before the lyrics.
    assert {song.song_key for song in found.songs[:2]} == {"SOTITLE", "SONAMED"}
    assert {song.song_key for song in found.songs[3:]} == {"SOBAG1", "SOBAG2"}
    # Nothing is counted twice that both searches find.
    assert found.found == 5
    assert dict(found.genres) == {"Pop": 4, "Folk": 1}
    assert dict(found.years) == {1999: 2, 1975: 2, 1968: 1}
    assert dict(found.artists) == {"Bags": 4, "Us": 1}
    assert [index.search("little baby", n).songs for n in range(1, 6)] == [
        found.songs[:n] for n in range(1, 6)
    ]
    for term, keys in {
        "crying in heaven": set(),
        "heaven's babies": {"SOBAG1"},
        "Don't CRY, baby": set(),
        "babies days": {"SOBAG4"},
        "loved running": {"SOBAG3"},
    }.items():
        assert {song.song_key for song in index.search(term).songs} >= keys, term
        if keys:
            assert index.search(term).found == len(keys), term
    assert index.search("little baby", genre="Folk").found == 1
    assert index.search("babies", year=1999).found == 3
    # A phrase is about words next to each other, of which a bag says nothing.
    phrase = {song.song_key for song in index.search('"little baby"').songs}
    assert phrase == {"SOTEXT1", "SOTITLE"}
    # Misspelt, where no song has the words as written.
    assert "SOTITLE" in {song.song_key for song in index.search("litlle baby").songs}


#: Stems as musiXmatch would have them, written by hand.
INFLECTED = {
    "baby": "babi", "babies": "babi", "little": "littl", "love": "love", "loving": "love",
    "heaven": "heaven", "heavens": "heaven", "running": "run", "run": "run", "cry": "cri",
    "cried": "cri", "happily": "happili", "dream": "dream", "dreaming": "dream",
}  # fmt: skip


def test_texts_and_bags_are_counted_like_by_hand(index):
    """300 songs, half of them bags; every song that holds the words, or their stems, once."""
    rng = random.Random(5)
    songs = []
    for n in range(300):
        words = rng.sample(sorted(INFLECTED), rng.randint(2, 7))
        said = {"text": " ".join(words)} if n % 2 else {
            "words": tuple((stem, 1) for stem in dict.fromkeys(INFLECTED[w] for w in words))
        }  # fmt: skip
        songs.append(Song(f"SO{n:03d}", None, (rng.choice("XYZ"),), year=1990 + n % 3, **said))
    index.world.put("b1", songs)
    index.write("b1")

    def holds(song, words):
        there = song.lyrics.split()
        written = all(word in there for word in words[:-1]) and any(
            one.startswith(words[-1]) for one in there
        )
        return written or (not song.text and all(INFLECTED[word] in there for word in words))

    asked = 0
    for _ in range(60):
        words = rng.sample(sorted(INFLECTED), rng.randint(1, 3))
        expected = [song for song in songs if holds(song, words)]
        if not expected or len({INFLECTED[word] for word in words}) < len(words):
            continue  # misspelt words and fewer ones may find some; or one word stands for two
        found = index.search(" ".join(words))
        assert found.found == len(expected), words
        assert {song.song_key for song in found.songs} <= {song.key for song in expected}
        assert len({song.song_key for song in found.songs}) == min(100, len(expected))
        assert dict(found.years) == Counter(song.year for song in expected), words
        assert dict(found.artists) == Counter(song.artists[0] for song in expected), words
        asked += 1
    assert asked > 40


@pytest.mark.parametrize(
    "genre", ["", "`", "Rock`] || year:>0 || genre:=[`x", "Rock || year:>0", "genre:!=x", "*"]
)
def test_a_genre_cannot_become_a_filter(index, genre):
    index.world.put("b1", [Song("SO1", "a", genre="Rock", year=1999), Song("SO2", "b", year=1)])
    index.write("b1")
    assert index.search("*", genre=genre).found == 0


def test_terms_are_only_words(index):
    index.world.put("b1", [Song("SO1", "a", genre="Rock", year=1999), Song("SO2", "b", year=1)])
    index.write("b1")
    for term in ("&filter_by=year:1", '"', "-", "`", "year:=1", "a" * 1_000, "夏" * 300, "\\", "{"):
        index.search(term)
    for noise in ("'", "\\", "%", "{}", "**", "\x00", "😀😀", "-- ;", "…", '"'):
        assert index.search(noise) == FoundSongs(0, (), (), ())
    for term in ("", "  ", "a" * 1_001):
        with pytest.raises(ValueError, match="characters"):
            index.search(term)
    for limit in (0, 101, -1):
        with pytest.raises(ValueError, match="from 1 to 100"):
            index.search("a", limit)
