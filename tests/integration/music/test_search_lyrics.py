"""Songs by what their lyrics mean and by their words."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.music.lyrics_index import opened, small
from tests.integration.music.search_world import Song, generated, holding, hymns

pytestmark = pytest.mark.servers("postgres", "milvus", "openai")


@pytest.fixture
def index(env):
    with opened(env) as index:
        yield index


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
        scores = [match.score for match in many]
        assert scores == sorted(scores, reverse=True)
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


def test_what_nothing_is_near_to_finds_nothing(index):
    """Cosines recounted with numpy: a song has a rank by meaning where its own is not below."""
    songs, paraphrases = generated()
    index.world.put("b1", songs)
    index.write("b1")
    term = next(iter(paraphrases.values()))
    (query,) = index.embedding([term])
    best: dict[str, float] = {}
    for row in index.rows().values():
        best[row["song_key"]] = max(
            best.get(row["song_key"], -1.0), float(np.dot(query, row["vector"]))
        )
    floor = sorted(best.values())[-4] - 1e-4
    found = index.search(term, 46, floor)
    assert {match.song_key for match in found if match.rank_by_meaning} == {
        key for key, cosine in best.items() if cosine >= floor
    }
    for match in found:
        if match.rank_by_meaning:
            assert match.cosine == pytest.approx(best[match.song_key], abs=1e-5)
        else:
            assert match.cosine is None
            assert match.rank_by_words
    for noise in ("qwxzk blorfnik", "kubernetes helm rollback", "zzzzqqqxxyy"):
        assert len(index.search(noise, 46)) == 46
        assert index.search(noise, 46, None) == ()
    # What holds the words is found, however far it is.
    assert [match.rank_by_meaning for match in index.search("loan", 9, 1.0)] == [None]
    assert index.search("a beacon that guides ships", 1, None)[0].song_key == "SOTHEME0"


def test_words_find_passages_of_which_only_stems_are_known(index):
    texts = [Song("SOTEXT", text="hush little baby"), *(Song(f"SO{n}", text="x") for n in range(9))]
    bag = Song("SOBAG", words=(("littl", 2), ("heaven", 1), ("babi", 5), ("redempt", 1)))
    index.world.put("b1", [*texts, bag])
    index.write("b1")

    def by_words(term):
        return {match.song_key for match in index.search(term, 50) if match.rank_by_words}

    assert by_words("Little baby") == {"SOTEXT", "SOBAG"}
    assert by_words("redemption") == by_words("Babies?") == by_words("heaven's") == {"SOBAG"}
    assert by_words("hush") == {"SOTEXT"}


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
    for term in ('" or song_key != "', "夏", "a" * 1_000, "song_key in []", "' 1"):
        assert index.search(term)
    for noise in ("'", "\\", "%", "{}", "*", "\x00", "😀😀", "-- ;", "…"):
        assert index.search(noise) == ()
    for term in ("", " \n"):
        with pytest.raises(ValueError, match="characters"):
            index.search(term)
    with pytest.raises(ValueError, match="from 1 to 100"):
        index.search("a", 101)
