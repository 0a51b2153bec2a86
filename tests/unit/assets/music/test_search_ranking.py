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
    first = [Hit("x", 0, 0.9), Hit("y", 0, 0.5), Hit("w", 0, 0.5)]
    second = [Hit("z", 0, 7.0), Hit("v", 0, 6.0), Hit("x", 0, 5.0)]
    assert fused(first, second) == [
        ("x", 0.032266),
        ("z", 0.016393),
        ("w", 0.016129),
        ("y", 0.016129),
        ("v", 0.016129),  # the first ranking has the two others
    ]


def test_equal_sums_are_in_the_order_of_the_scores() -> None:
    """Ranks 1 and 2 of the one are 2 and 1 of the other: the first ranking decides."""
    first = [Hit("z", 0, 0.9), Hit("a", 0, 0.8)]
    second = [Hit("a", 0, 7.0), Hit("z", 0, 6.0)]
    assert [song for song, _ in fused(first, second)] == ["z", "a"]
    assert [song for song, _ in fused(second, first)] == ["a", "z"]


@given(HITS, HITS, st.randoms())
def test_the_order_follows_from_scores_and_keys_alone(
    left: list[Hit], right: list[Hit], luck: random.Random
) -> None:
    """However the hits lie, the order is the same; the sums are, whichever ranking is first."""
    once = fused(best_by_song(left), best_by_song(right))
    shuffled = [luck.sample(hits, len(hits)) for hits in (left, right)]
    assert fused(*map(best_by_song, shuffled)) == once
    assert dict(fused(best_by_song(right), best_by_song(left))) == dict(once)
    assert [score for _, score in once] == sorted((score for _, score in once), reverse=True)
