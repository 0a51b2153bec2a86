"""From passages that were found to songs in a stable order.

Belongs here: grouping, how deep to search, ties, fusion of two rankings; pure functions. Does not:
asking a server.

Scores are compared rounded to 6 decimals, so that the last bits of a sum, which depend on how a
server lays out its data, decide nothing; equal scores are in the order of the song key.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

DECIMALS = 6
FIRST_LIMIT = 256
#: The most that Milvus returns for one query.
LAST_LIMIT = 16_384
#: The constant of reciprocal rank fusion: Cormack, Clarke, Büttcher, SIGIR 2009.
RRF_K = 60


@dataclass(frozen=True, slots=True)
class Hit:
    """One passage that a search found: the higher the score, the better."""

    song_key: str
    passage: int
    score: float


def best_by_song(hits: Iterable[Hit]) -> list[Hit]:
    """The best passage of every song (of equal ones the first), best song first."""
    best: dict[str, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-rounded(hit.score), hit.song_key, hit.passage)):
        best.setdefault(hit.song_key, Hit(hit.song_key, hit.passage, rounded(hit.score)))
    return list(best.values())


def search_until(search: Callable[[int], Sequence[Hit]], songs: int) -> list[Hit]:
    """The best ``songs`` songs that ``search`` (given a number of passages) finds, best first.

    A song has any number of passages, so the search is repeated with twice as many until no song
    beyond could be among the best, which includes all of those that share the last score.
    """
    limit = FIRST_LIMIT
    while True:
        hits = search(limit)
        found = best_by_song(hits)
        enough = len(found) >= songs and rounded(hits[-1].score) < found[songs - 1].score
        if len(hits) < limit or enough or limit >= LAST_LIMIT:
            return found if len(found) <= songs else _with_ties(found, songs)
        limit = min(limit * 2, LAST_LIMIT)


def ranks(hits: Sequence[Hit]) -> dict[str, int]:
    """The rank of each song of an ordered list, from 1; songs of one score share theirs."""
    placed: dict[str, int] = {}
    for position, hit in enumerate(hits, start=1):
        before = hits[position - 2] if position > 1 else None
        same = before is not None and before.score == hit.score
        placed[hit.song_key] = placed[before.song_key] if before and same else position
    return placed


def fused(*rankings: Sequence[Hit]) -> list[tuple[str, float]]:
    """Songs by the sum of 1 / (60 + rank) over the rankings that have them, best first.

    Of equal sums, the song with the higher score in the first ranking comes first, then in the
    next one (a song that a ranking lacks comes after those it has), then the lower song key.
    """
    total: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for song, rank in ranks(ranking).items():
            total[song] += 1 / (RRF_K + rank)
    scores = [{hit.song_key: hit.score for hit in ranking} for ranking in rankings]

    def order(item: tuple[str, float]) -> tuple[float, list[float], str]:
        song, score = item
        return (-score, [-one.get(song, -math.inf) for one in scores], song)

    return sorted(((song, rounded(score)) for song, score in total.items()), key=order)


def rounded(score: float) -> float:
    """``score`` as it is compared and shown."""
    return round(score, DECIMALS) + 0.0  # no negative zero


def _with_ties(found: Sequence[Hit], songs: int) -> list[Hit]:
    last = found[songs - 1].score
    return [hit for hit in found if hit.score >= last]
