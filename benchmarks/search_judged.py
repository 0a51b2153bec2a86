"""Queries with the songs that are meant by them, and how well a ranking answers them.

Belongs here: reading a judged set (``judged/*.toml``), finding its songs, and the measures. Does
not: loading songs and asking (``search_corpus.py``), figures (``search.py``).

A query's answer is looked at as far as its fifth song. nDCG weighs a song of grade g with 2**g - 1,
divided by the binary logarithm of its rank + 1, and is compared with the best order of the judged
songs (Järvelin and Kekäläinen 2002, in the form of Burges et al. 2005). Where no song is meant,
either measure is 1 for no answer and 0 for any.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

JUDGED = Path(__file__).parent / "judged"
DEPTH = 5


@dataclass(frozen=True, slots=True)
class Named:
    """What a song may be named by in a judged set."""

    song_key: str
    title: str
    artists: str
    lyrics: str
    stems: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Query:
    """A term, what kind of question it is, and the grades of the songs that are meant."""

    kind: str
    term: str
    grades: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """Means over the queries of one kind."""

    queries: int
    ndcg: float
    precision: float


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], depth: int = DEPTH) -> float:
    """Normalised discounted cumulative gain of the first ``depth`` of a ranking."""
    if not grades:
        return float(not ranking)
    return _gain(grades.get(song, 0) for song in ranking[:depth]) / _gain(
        sorted(grades.values(), reverse=True)[:depth]
    )


def precision(ranking: Sequence[str], grades: Mapping[str, int], depth: int = DEPTH) -> float:
    """The share of the first ``depth`` that is meant: of as many as there are, none for none."""
    if not grades:
        return float(not ranking)
    best = ranking[:depth]
    return sum(grades.get(song, 0) > 0 for song in best) / len(best) if best else 0.0


def measured(
    queries: Iterable[Query], search: Callable[[str], Sequence[str]]
) -> dict[str, Measured]:
    """The measures by kind of a search that gives the keys of songs, best first."""
    by_kind: dict[str, list[tuple[float, float]]] = {}
    for query in queries:
        found = search(query.term)
        both = ndcg(found, query.grades), precision(found, query.grades)
        by_kind.setdefault(query.kind, []).append(both)
    return {
        kind: Measured(len(pairs), fmean(n for n, _ in pairs), fmean(p for _, p in pairs))
        for kind, pairs in by_kind.items()
    }


def judged(name: str, songs: Sequence[Named]) -> list[Query]:
    """The queries of ``judged/<name>.toml``. Raises ValueError for a song that is not there."""
    kinds = tomllib.loads((JUDGED / f"{name}.toml").read_text(encoding="utf-8"))
    return [
        Query(kind, term, _grades(meant, songs))
        for kind, terms in kinds.items()
        for term, meant in terms.items()
    ]


def _grades(meant: Mapping[str, int], songs: Sequence[Named]) -> dict[str, int]:
    grades: dict[str, int] = {}
    for named, grade in meant.items():
        found = [song.song_key for song in songs if _is_named(song, named)]
        if not found:
            raise ValueError(f"no song is {named!r}")
        for key in found:
            grades[key] = max(grade, grades.get(key, 0))
    return grades


def _is_named(song: Named, named: str) -> bool:
    by, _, words = named.partition(":")
    if by == "by":
        return words.casefold() in song.artists.casefold()
    if by == "bag":
        return set(words.split()) <= song.stems
    if by == "line":
        return words.casefold() in " ".join(song.lyrics.casefold().split())
    title, _, artist = named.casefold().partition(" | ")
    return title == song.title.casefold() and artist in song.artists.casefold()


def _gain(grades: Iterable[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(n + 1) for n, grade in enumerate(grades, start=1))
