"""From passages to songs, against brute force over all passages."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.music.search import ranking
from assets.music.search.ranking import Hit, best_by_song, fused, ranks, search_until

SCORES = st.sampled_from([0.9, 0.5, 0.25, 0.1, -0.2]) | st.floats(-1, 1, allow_nan=False)
HITS = st.lists(st.tuples(st.sampled_from("abcdefgh"), SCORES), max_size=60).map(
    lambda rows: [Hit(song, number, score) for number, (song, score) in enumerate(rows)]
)


def server(hits: list[Hit], seed: int):
    """A search that puts equal scores in any order, and says how deep it was asked."""
    asked: list[int] = []

    def search(limit: int) -> list[Hit]:
        asked.append(limit)
        shuffled = random.Random(seed * 31 + limit).sample(hits, len(hits))
        return sorted(shuffled, key=lambda hit: -hit.score)[:limit]

    return search, asked


def brute_force(hits: list[Hit], songs: int) -> list[tuple[str, float]]:
    scores = {}
    for hit in hits:
        scores[hit.song_key] = max(scores.get(hit.song_key, -2.0), round(hit.score, 6) + 0.0)
    ordered = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= songs:
        return ordered
    return [(song, score) for song, score in ordered if score >= ordered[songs - 1][1]]


@given(HITS, st.integers(1, 9), st.integers(1, 8), st.integers(0, 99))
def test_the_best_songs_whatever_the_order_of_ties(hits, songs, first, seed) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "FIRST_LIMIT", first)
        search, asked = server(hits, seed)
        found = search_until(search, songs)
    assert [(hit.song_key, hit.score) for hit in found] == brute_force(hits, songs)
    assert asked == [first * 2**n for n in range(len(asked))]


def test_no_deeper_than_needed() -> None:
    hits = [Hit(f"s{n:03d}", 0, 1 - n / 1_000) for n in range(900)]
    search, asked = server(hits, 0)
    assert len(search_until(search, 200)) == 200
    assert asked == [256]
    # One song of 400 passages in front of all others.
    hits += [Hit("long", n, 2 + n / 1_000) for n in range(400)]
    search, asked = server(hits, 0)
    assert [hit.song_key for hit in search_until(search, 3)] == ["long", "s000", "s001"]
    assert asked == [256, 512]


def test_it_ends_at_what_the_server_returns_at_most(monkeypatch) -> None:
    monkeypatch.setattr(ranking, "LAST_LIMIT", 1_024)
    search, asked = server([Hit(f"s{n:04d}", 0, 0.5) for n in range(2_000)], 0)
    assert len(search_until(search, 3)) == 1_024
    assert asked == [256, 512, 1_024]


def test_the_first_of_equal_passages_stands_for_the_song() -> None:
    hits = [Hit("a", 10, 0.5), Hit("a", 2, 0.5000001), Hit("b", 0, 0.7), Hit("a", 3, 0.4)]
    assert best_by_song(hits) == [Hit("b", 0, 0.7), Hit("a", 2, 0.5)]


def test_ranks_are_shared_by_equal_scores() -> None:
    hits = [Hit("a", 0, 3.0), Hit("b", 0, 2.0), Hit("c", 0, 2.0), Hit("d", 0, 1.0)]
    assert ranks(hits) == {"a": 1, "b": 2, "c": 2, "d": 4}


def test_reciprocal_rank_fusion() -> None:
    """1/61 + 1/63, 1/62, 1/61 by hand; equal ones by key."""
    assert fused([{"x": 1, "y": 2, "w": 2}, {"x": 3, "z": 1}]) == [
        ("x", 0.032266),
        ("z", 0.016393),
        ("w", 0.016129),
        ("y", 0.016129),
    ]


@given(st.integers(1, 50))
def test_fewer_songs_are_the_first_of_more(limit: int) -> None:
    rankings = [{f"s{n * 7 % 50}": n + 1 for n in range(50)}, {f"s{n}": n + 1 for n in range(50)}]
    assert fused(rankings)[:limit] == fused(list(reversed(rankings)))[:limit]
