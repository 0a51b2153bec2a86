"""Lyrics in Milvus: passages that are written, replaced, gone; and searching them."""

from __future__ import annotations

import math
import random
import sys
from dataclasses import replace

import numpy as np
import psycopg
import pytest

from assets.embeddings import Space
from assets.frame.tables import Column
from assets.music.answers import (
    NothingToCompareError,
    UnknownSongError,
    search_lyrics,
    similar_songs,
)
from assets.music.search import lyrics_vectors
from assets.music.search.song_rows import TouchedPages
from assets.sinks.milvus import AnotherModelError, AnotherSchemaError
from landing.batch.failures import classify
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from tests import processes
from tests.integration.music.search_world import (
    ODD_KEYS,
    Song,
    World,
    generated,
    holding,
    hymns,
)

pytestmark = pytest.mark.servers("postgres", "milvus", "openai")

VERSE = "\n".join(["and so the river runs to sea again"] * 8)
LONG = "\n\n".join(f"verse {number}\n{VERSE}" for number in range(7))


class Index:
    def __init__(self, env, client):
        self.client, self.name = client, env["MUSIC_MILVUS_LYRICS"]
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.openai = OpenAIResource(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            embedding_model=env["OPENAI_EMBEDDING_MODEL"],
        )
        self.world = World(env["POSTGRES_URL"])
        self.store = lyrics_vectors.store(client, self.name, Space(self.openai.embedding_model))

    def pages(self, batch, rows=1_000):
        return TouchedPages(self.pg, batch, rows)

    def write(self, batch, rows=1_000):
        return lyrics_vectors.write(self.pages(batch, rows), self.store, self.pg, self.openai)

    def verify(self, batch):
        return lyrics_vectors.verify(self.pages(batch), self.store, self.pg)

    def rows(self):
        rows = self.client.query(
            self.name,
            filter="",
            limit=5_000,
            output_fields=["chunk_id", "song_key", "passage", "kind", "row_hash", "text", "vector"],
            consistency_level="Strong",
        )
        return {row["chunk_id"]: row for row in rows}

    def embedding(self, texts):
        """Asked of the API directly."""
        with self.openai.client() as client:
            answer = client.embeddings.create(
                model=self.openai.embedding_model, input=texts, dimensions=1024
            )
        return [np.array(item.embedding) for item in answer.data]

    def assert_holds_the_world(self):
        """Every song's lyrics, in order and without a gap, and the vector of every passage."""
        rows = self.rows()
        for song in self.world.songs.values():
            own = [row for row in rows.values() if row["song_key"] == song.key]
            own.sort(key=lambda row: row["passage"])
            assert [row["chunk_id"] for row in own] == [f"{song.key}#{n}" for n in range(len(own))]
            assert {row["kind"] for row in own} <= {"text" if song.text else "words"}
            held = " ".join(row["text"] for row in own)
            assert held.split() == (song.lyrics or "").split()
            assert len({row["row_hash"] for row in own}) <= 1
        assert {row["song_key"] for row in rows.values()} == {
            song.key for song in self.world.songs.values() if song.lyrics
        }
        if rows:
            vectors = self.embedding([row["text"] for row in rows.values()])
            for row, vector in zip(rows.values(), vectors, strict=True):
                np.testing.assert_allclose(row["vector"], vector, atol=1e-6)
        assert lyrics_vectors.songs(self.client, self.name) == len(
            {row["song_key"] for row in rows.values()}
        )

    def search(self, term, limit=10):
        with self.openai.client() as client:
            return search_lyrics(self.store, client, term, limit)

    def similar(self, key, k=10, by="lyrics"):
        with psycopg.connect(self.pg.url) as connection:
            return [
                (s.song_key, s.value) for s in similar_songs(connection, self.store, key, k, by)
            ]


@pytest.fixture
def index(env):
    client = MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"]).client()
    yield Index(env, client)
    client.close()


def small():
    return [
        Song("SOLONG", text=LONG),
        Song("SOSHORT", text="one line only"),
        Song("SONONE", title="No lyrics"),
        Song("SOBAG", words=(("sea", 2), ("river", 5), ("run", 2))),
        *(Song(key, text=f"the song of {key}") for key in ODD_KEYS),
    ]


def test_written_twice_then_changed_then_gone(index, openai_admin):
    index.world.put("b1", small())
    first = index.write("b1", rows=4)
    index.assert_holds_the_world()
    rows = index.rows()
    assert sum(row["song_key"] == "SOLONG" for row in rows.values()) == 4
    assert (first.rows_written, first.unchanged, first.deleted) == (len(rows), 0, 0)
    assert first.details["songs"] == len(index.world.songs) - 1
    assert first.details["embedded"] == len({row["text"] for row in rows.values()})
    assert rows["SOBAG#0"]["text"] == "river sea run"
    assert index.verify("b1").ok
    assert index.verify("b1").expected == len(rows)

    openai_admin.clear_counters()
    again = index.write("b1")
    assert (again.rows_written, again.unchanged, again.deleted) == (len(rows), len(rows), 0)
    assert openai_admin.counters()["calls"] == {}
    assert index.rows() == rows

    index.world.change("b2", "SOLONG", text="now\n\nshort")
    index.world.change("b2", "SOSHORT", text=LONG)
    index.world.change("b2", "SOBAG", words=(), text="now there is a text")
    index.world.change("b2", "a/b", text=None)
    index.world.change("b2", "what?", genre="Folk")
    changed = index.write("b2")
    # Four passages of SOLONG became one, SOSHORT's one four; a/b's one is gone.
    assert (changed.rows_written, changed.unchanged, changed.deleted) == (7, 1, 4)
    index.assert_holds_the_world()
    assert index.verify("b2").ok
    assert index.verify("b1").ok  # today's lyrics are what counts

    index.world.drop("b3", [*ODD_KEYS, "SOSHORT", "SONONE"])
    dropped = index.write("b3", rows=5)
    assert (dropped.rows_written, dropped.deleted) == (0, len(ODD_KEYS) - 1 + 4)
    index.assert_holds_the_world()
    assert index.verify("b3").ok
    assert index.write("b3").deleted == 0


def test_what_is_missing_other_or_too_much_is_found(index):
    index.world.put("b1", small())
    index.write("b1")
    index.world.change("b1", "SOSHORT", text="not written")
    index.world.put("b1", [Song("SONEW", text="not written either")])
    index.world.drop("b1", ["SOLONG"])
    found = index.verify("b1")
    assert (found.missing, found.differing, found.unexpected) == (1, 1, 4)
    assert {"SONEW#0", "SOSHORT#0", "SOLONG#3"} <= set(found.sample)


def test_a_vector_that_is_not_the_texts_is_found(index):
    index.world.put("b1", [Song("SO1", text="a song")])
    index.write("b1")
    row = dict(index.rows()["SO1#0"])
    row["vector"] = np.full(1024, 1 / 32, dtype="f4")
    index.store.upsert([row])
    found = index.verify("b1")
    assert (found.missing, found.differing, found.sample) == (0, 1, ("SO1#0",))


@pytest.mark.parametrize("survived", [0, 1, 2, 3])
def test_killed_between_two_writes(index, survived):
    """Passages of the old and of the new lyrics lie side by side; the next run ends that."""
    index.world.put("b0", small()[:6])
    index.write("b0")
    index.world.change("b1", "SOLONG", text="now it is short")
    index.world.change("b1", "SOSHORT", text=LONG)
    index.world.change("b1", "SOBAG", words=(("other", 1),))
    index.world.drop("b1", [ODD_KEYS[0]])
    command = [
        sys.executable, "-m", "tests.integration.music.search_killed", "lyrics", "b1",
        str(survived),
    ]  # fmt: skip
    done = processes.run(command)
    assert done.returncode == -9, done.stderr
    assert not index.verify("b1").ok
    index.write("b1")
    index.assert_holds_the_world()
    assert index.verify("b1").ok


def test_never_two_models_nor_two_schemas(index):
    index.world.put("b1", [Song("SO1", text="a song")])
    index.write("b1")
    other = replace(index.store, space=Space("another-model"))
    with pytest.raises(AnotherModelError, match=r"OPENAI_EMBEDDING_MODEL.*--job music") as caught:
        lyrics_vectors.write(index.pages("b1"), other, index.pg, index.openai)
    assert classify(caught.value) == "permanent"
    language = Column("language", "text", "Language of the passage.")
    table = replace(index.store.table, columns=(*index.store.table.columns, language))
    other = replace(index.store, table=table)
    with pytest.raises(AnotherSchemaError, match=r"language.*drop this one.*--job music") as caught:
        lyrics_vectors.write(index.pages("b1"), other, index.pg, index.openai)
    assert classify(caught.value) == "permanent"
    index.assert_holds_the_world()


@pytest.mark.parametrize("field", ["vector", "sparse"])
def test_a_collection_without_an_index_is_completed(index, field):
    index.store.ensure()
    index.client.release_collection(index.name)
    index.client.drop_index(index.name, field)
    assert field not in index.client.list_indexes(index.name)
    index.world.put("b1", small())
    index.write("b1")
    index.assert_holds_the_world()
    assert index.search("river")


def test_no_collection_holds_nothing(index):
    assert lyrics_vectors.songs(index.client, index.name) == 0


@pytest.fixture(params=["generated", "hymns"])
def corpus(request, index):
    found = generated() if request.param == "generated" else hymns()
    if found is None:
        pytest.skip("the real hymns are wanted: QUINTET_DATA_DIR is not set")
    index.world.put("b1", found[0])
    index.write("b1")
    return found


def test_by_words_and_by_meaning(index, corpus):
    songs, paraphrases = corpus
    answered = 0
    for word in ("redemption", "anchor", "sheaves", "mountain", "harvest", "bread"):
        # Whole words: BM25 counts those.
        expected = {
            song.key
            for song in songs
            if holding([song], word) and word in "".join(
                c if c.isalnum() else " " for c in (song.text or "").casefold()
            ).split()
        }  # fmt: skip
        if not 1 <= len(expected) <= 10:
            continue
        found = index.search(word, 10)
        assert {m.song_key for m in found if m.rank_by_words} == expected, word
        assert {m.song_key for m in found[: len(expected)]} == expected, word
        assert all(word in m.passage.casefold() for m in found[: len(expected)])
        answered += 1
    assert answered >= 2
    for key, paraphrase in paraphrases.items():
        assert key in [match.song_key for match in index.search(paraphrase, 5)], paraphrase


def test_the_same_again_and_fewer_are_the_first_of_more(index, corpus):
    _, paraphrases = corpus
    for term in ["redemption", "river", *list(paraphrases.values())[:2]]:
        many = index.search(term, 30)
        assert len({match.song_key for match in many}) == len(many) == 30
        assert index.search(term, 30) == many
        assert index.search(term, 4) == many[:4]
        order = [(-match.score, match.song_key) for match in many]
        assert order == sorted(order)
    index.write("b1")
    assert index.search(term, 30) == many


def test_scores_are_those_of_reciprocal_rank_fusion(index):
    """Ranks by meaning recounted with numpy over all passages."""
    songs, _ = generated()
    index.world.put("b1", songs)
    index.write("b1")
    term = "redemption of the loan"
    (query,) = index.embedding([term])
    best: dict[str, float] = {}
    for row in index.rows().values():
        cosine = float(np.dot(query, row["vector"]) / np.linalg.norm(row["vector"]))
        best[row["song_key"]] = max(best.get(row["song_key"], -1), cosine)
    found = index.search(term, 46)
    assert len(found) == 46
    for match in found:
        above = sum(value > best[match.song_key] + 2e-6 for value in best.values())
        level = sum(value > best[match.song_key] - 2e-6 for value in best.values())
        assert above < match.rank_by_meaning <= level
        ranks = [rank for rank in (match.rank_by_meaning, match.rank_by_words) if rank]
        assert match.score == pytest.approx(sum(1 / (60 + rank) for rank in ranks), abs=1e-6)


def test_more_of_a_rare_word_stands_higher_by_words(index):
    texts = {
        "SOTHRICE": "zephyr zephyr zephyr and rain",
        "SOONCE": "zephyr " + "and rain " * 30,
        "SOBOTH": "zephyr and monsoon and rain",
        **{f"SORAIN{n}": "rain and rain and rain" for n in range(5)},
    }
    index.world.put("b1", [Song(key, text=text) for key, text in texts.items()])
    index.write("b1")
    by_words = {match.song_key: match.rank_by_words for match in index.search("zephyr monsoon")}
    assert [by_words[key] for key in ("SOBOTH", "SOTHRICE", "SOONCE")] == [1, 2, 3]
    assert {by_words[f"SORAIN{n}"] for n in range(5)} == {None}
    # Equal passages share a rank; their songs are in the order of their keys.
    rain = [match for match in index.search("rain", 100) if match.song_key.startswith("SORAIN")]
    assert len({match.rank_by_words for match in rain}) == 1
    assert [match.song_key for match in rain] == [f"SORAIN{n}" for n in range(5)]


def test_a_song_of_many_passages_is_one_answer(index, monkeypatch):
    from assets.music.search import ranking

    monkeypatch.setattr(ranking, "FIRST_LIMIT", 4)
    verses = "\n\n".join(f"the river and the sea {n} " + "and more of it " * 35 for n in range(20))
    others = [Song(f"SO{n:02d}", text=f"a river flows by the sea at mile {n}") for n in range(12)]
    index.world.put("b1", [Song("SOMANY", text=verses), *others])
    index.write("b1")
    assert sum(row["song_key"] == "SOMANY" for row in index.rows().values()) == 20
    found = index.search("river sea", 20)
    assert sorted(match.song_key for match in found) == sorted(index.world.songs)


def test_terms_are_only_words(index):
    index.world.put("b1", small())
    index.write("b1")
    for term in ('" or song_key != "', "'", "\\", "%", "夏", "a" * 1_000, "{}", "song_key in []"):
        assert index.search(term)
    for term in ("", " \n"):
        with pytest.raises(ValueError, match="characters"):
            index.search(term)
    with pytest.raises(ValueError, match="from 1 to 100"):
        index.search("a", 101)


def test_similar_by_lyrics_is_the_best_pair_of_passages(index):
    songs, _ = generated()
    twin = replace(songs[20], key="SOTWIN")
    index.world.put("b1", [*songs, twin, Song("SONONE", title="No lyrics")])
    index.write("b1")
    vectors: dict[str, list[np.ndarray]] = {}
    for row in index.rows().values():
        vectors.setdefault(row["song_key"], []).append(np.array(row["vector"]))
    for key in (songs[20].key, "SOTHEME0"):
        expected = {
            other: max(float(a @ b) for a in vectors[key] for b in theirs)
            for other, theirs in vectors.items()
            if other != key
        }
        found = index.similar(key, 12)
        assert len(found) == 12
        for other, value in found:
            assert value == pytest.approx(expected[other], abs=2e-6)
        least = min(value for _, value in found)
        assert sum(value > least + 2e-6 for value in expected.values()) < 12
        assert found == sorted(found, key=lambda one: (-one[1], one[0]))
        assert index.similar(key, 3) == found[:3]
    assert index.similar(songs[20].key, 1) == [("SOTWIN", 1.0)]
    with pytest.raises(UnknownSongError, match="no song 'SONOBODY'"):
        index.similar("SONOBODY")
    with pytest.raises(NothingToCompareError, match="'SONONE' has no lyrics"):
        index.similar("SONONE")
    with pytest.raises(UnknownSongError):
        index.similar('x"] or song_key != "')


def audio_songs(rng, count):
    return [
        Song(
            f"SOA{n:03d}",
            tempo=rng.uniform(60, 200),
            loudness=rng.uniform(-30, 0),
            duration=rng.uniform(100, 400),
            pitch=rng.randrange(12),
            mode=rng.randrange(2),
            time_signature=rng.choice([3, 4, 4, 4, 5]),
        )
        for n in range(count)
    ]


def test_similar_by_audio_is_the_distance_of_z_scores(index):
    songs = audio_songs(random.Random(5), 60)
    twins = [replace(songs[7], key=f"SOZ{n}") for n in (2, 1)]
    partial = [replace(songs[7], key="SOPART", tempo=None, mode=None)]
    index.world.put("b1", [*songs, *twins, *partial])
    complete = [*songs, *twins]
    table = np.array(
        [
            [s.tempo, s.loudness, s.duration, s.mode, s.time_signature,
             math.cos(2 * math.pi * s.pitch / 12), math.sin(2 * math.pi * s.pitch / 12)]
            for s in complete
        ]
    )  # fmt: skip
    scored = (table - table.mean(axis=0)) / table.std(axis=0)
    for at in (7, 30):
        distances = np.linalg.norm(scored - scored[at], axis=1)
        expected = sorted(
            (round(float(d), 6), s.key)
            for s, d in zip(complete, distances, strict=True)
            if s.key != complete[at].key
        )
        found = index.similar(complete[at].key, 20, by="audio")
        assert [key for key, _ in found] == [key for _, key in expected[:20]]
        assert [d for _, d in found] == pytest.approx([d for d, _ in expected[:20]], abs=2e-6)
        assert index.similar(complete[at].key, 5, by="audio") == found[:5]
    assert index.similar(songs[7].key, 2, by="audio") == [("SOZ1", 0.0), ("SOZ2", 0.0)]
    with pytest.raises(NothingToCompareError, match="'SOPART' has no tempo, mode"):
        index.similar("SOPART", by="audio")
    with pytest.raises(UnknownSongError):
        index.similar("SO' OR true --", by="audio")
    with pytest.raises(ValueError, match="from 1 to 100"):
        index.similar(songs[7].key, 0, by="audio")


def test_similar_by_audio_where_all_songs_agree(index):
    """A feature without any spread adds nothing, instead of a division by zero."""
    one = audio_songs(random.Random(1), 1)[0]
    index.world.put("b1", [one, replace(one, key="SOB"), replace(one, key="SOC", tempo=60.0)])
    found = index.similar(one.key, by="audio")
    assert [key for key, _ in found] == ["SOB", "SOC"]
    assert found[0][1] == 0.0
    # Two of three equal: the deviation is the distance times the root of 2/9.
    assert found[1][1] == pytest.approx(1 / math.sqrt(2 / 9), abs=2e-6)
