"""The measures of search, against scikit-learn's and values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from benchmarks.search import best_floor
from benchmarks.search_corpus import Lyrics
from benchmarks.search_judged import JUDGED, Named, Query, judged, measured, ndcg, precision

SONGS = "abcdefgh"


def test_known_values() -> None:
    # 1 / log2(2) + 3 / log2(3) of 3 / log2(2) + 1 / log2(3)
    assert ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx(2.892789 / 3.630930, abs=1e-6)
    assert ndcg(["a", "b"], {"a": 2, "b": 1}) == 1
    assert ndcg(["x", "y", "a"], {"a": 2}) == 0.5
    assert ndcg(["x"] * 5 + ["a"], {"a": 2}) == ndcg([], {"a": 2}) == 0
    # Five of seven are all that an answer of five can have.
    assert ndcg(list(SONGS[:5]), dict.fromkeys(SONGS[:7], 1)) == 1
    assert precision(["a", "x", "y", "b"], {"a": 2, "b": 1}) == 0.5
    assert precision(["a"], {"a": 1, "b": 1}) == 1
    assert precision([], {"a": 1}) == precision(["x"], {"a": 1}) == 0


def test_where_no_song_is_meant_no_answer_is_right() -> None:
    for measure in (ndcg, precision):
        assert (measure([], {}), measure(["a"], {})) == (1, 0)


@given(
    st.permutations(SONGS),
    st.lists(st.integers(0, 3), min_size=8, max_size=8).filter(any),
    st.integers(1, 8),
)
def test_as_scikit_learn_has_it(ranking: list[str], grades: list[int], depth: int) -> None:
    by_song = dict(zip(SONGS, grades, strict=True))
    gains = np.array([[2.0 ** by_song[song] - 1 for song in ranking]])
    falling = np.array([[-float(rank) for rank in range(len(ranking))]])
    meant = {song: grade for song, grade in by_song.items() if grade}
    assert ndcg(ranking, meant, depth) == pytest.approx(ndcg_score(gains, falling, k=depth))


def test_means_are_taken_by_kind() -> None:
    queries = [Query("k", "t", {"a": 1}), Query("k", "u", {"b": 1}), Query("n", "v", {})]
    found = measured(queries, lambda term: {"t": ["a"], "u": [], "v": []}[term])
    assert (found["k"].queries, found["k"].ndcg, found["k"].precision) == (2, 0.5, 0.5)
    assert found["n"].ndcg == 1


def test_the_best_floor_is_between_what_is_meant_and_what_is_not() -> None:
    queries = [Query("m", "t", {"a": 1}), Query("n", "v", {})]
    asked = {
        "t": Lyrics([], [("a", 0.6), ("x", 0.3)]),
        "v": Lyrics([], [("y", 0.2), ("z", 0.1)]),
    }
    floor, best, without = best_floor(queries, asked)
    assert 0.2 < floor <= 0.6
    assert (best, without) == (1.0, 0.5)


def test_songs_are_named_by_title_artist_line_and_bag(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("benchmarks.search_judged.JUDGED", tmp_path)
    songs = [
        Named("1", "Home", "Ann; Bob", "a long\nroad home"),
        Named("2", "Home", "Zed", "", frozenset({"babi", "love"})),
        Named("3", "Away", "Ann", ""),
    ]
    (tmp_path / "x.toml").write_text(
        '[k]\n"a" = {"home" = 1}\n"b" = {"Home | Zed" = 2, "by:ann" = 1}\n'
        '"c" = {"line:long road" = 2, "bag:babi" = 1}\n"d" = {}\n'
    )
    assert [query.grades for query in judged("x", songs)] == [
        {"1": 1, "2": 1}, {"2": 2, "1": 1, "3": 1}, {"1": 2, "2": 1}, {},
    ]  # fmt: skip
    (tmp_path / "x.toml").write_text('[k]\n"a" = {"Nowhere" = 1}\n')
    with pytest.raises(ValueError, match="no song is 'Nowhere'"):
        judged("x", songs)


def test_the_sets_are_large_enough_and_ask_for_nothing_twice() -> None:
    import tomllib

    for name, least in (("real", 60), ("samples", 25)):
        kinds = tomllib.loads((JUDGED / f"{name}.toml").read_text("utf-8"))
        terms = [term for queries in kinds.values() for term in queries]
        assert len(set(terms)) == len(terms) >= least
        assert not any(kinds["noise"].values())
