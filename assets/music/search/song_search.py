"""Songs by the words of their title, artists, album and lyrics.

Belongs here: the queries to Typesense and what is read of its answers. Does not: what the
collection holds (``song_documents.py``), how a term is cut to stems (``stems.py``).

A song of which there is a text is found by words as they are written; one of which there is but a
bag of stems is found by stems, too. Typesense asks all fields for the same words, so these are two
searches, and a third one for what both find: ``found`` and the counts are of the union.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assets.music.search.song_documents import genre_code
from assets.music.search.stems import stems
from assets.music.search.terms import EVERYTHING, as_written, has_words
from assets.sinks.typesense import Document, DocumentStore

_FACETS = 100
#: More years than songs can have: decades are counted from them.
_YEARS = 1_000
# Title and artists weigh more than the album, and that more than the lyrics.
_QUERY: dict[str, Any] = {
    "query_by": "title,artists,album,lyrics,stems",
    "query_by_weights": "8,8,4,2,2",
    # How many words a prefix or a misspelt word may stand for; the server's own 4 loses songs.
    "max_candidates": 1_000,
    "facet_by": "genre,year,artists",
    "max_facet_values": _YEARS,
    "sort_by": "_text_match:desc,song_key:asc",
    "exclude_fields": "lyrics,stems",
    "highlight_fields": "none",
}
_AS_WRITTEN = {"num_typos": 0, "drop_tokens_threshold": 0}
_STEMS = {"query_by": "stems", "query_by_weights": "1", "prefix": False, **_AS_WRITTEN}


@dataclass(frozen=True, slots=True)
class FoundSong:
    """A song that Typesense found."""

    song_key: str
    title: str | None
    artist: str | None
    artists: tuple[str, ...]
    album: str | None
    genre: str | None
    year: int | None


@dataclass(frozen=True, slots=True)
class FoundSongs:
    """``found`` songs in all, the best of them, and how many there are by genre, year and artist.

    Each the 100 most frequent ones, by count (descending), then value. ``decades`` are named by
    their first year. A song counts for each of its artists.
    """

    found: int
    songs: tuple[FoundSong, ...]
    genres: tuple[tuple[str, int], ...]
    years: tuple[tuple[int, int], ...]
    decades: tuple[tuple[int, int], ...] = ()
    artists: tuple[tuple[str, int], ...] = ()


def matching(
    documents: DocumentStore, term: str, limit: int, genre: str | None, year: int | None
) -> FoundSongs:
    """Songs that hold the words of ``term``, by Typesense's text match, then song key.

    After them come those whose bag of words holds its stems. None for a term without a word, which
    Typesense takes for all songs, or for whatever remains of it; but ``*`` does stand for all.
    Counts by artist are exact while the songs have at most 1,000.
    """
    if term != EVERYTHING and not has_words(term):
        return FoundSongs(0, (), (), ())
    filters = [f"genre_code:={genre_code(genre)}"] if genre is not None else []
    if year is not None:
        filters.append(f"year:={int(year)}")
    asked = {**_QUERY, "q": term, "per_page": limit, "filter_by": " && ".join(filters)}
    cut = () if as_written(term) else stems(term)
    found = None
    if cut:
        in_bag = " && ".join([*filters, f"stems:{' '.join(cut)}"])
        found = _union(
            *documents.searches(
                [
                    {**asked, **_AS_WRITTEN},
                    # Those that were found as they are written may be among them.
                    {**asked, **_STEMS, "q": " ".join(cut), "per_page": 2 * limit},
                    {**asked, **_AS_WRITTEN, "filter_by": in_bag, "per_page": 0},
                ]
            )
        )
    # Misspelt words, and fewer of them, only where there is nothing else.
    found = found if found and found.songs else _answer(documents.search(asked))
    years = _by_count(found.counts["year"].items(), int)
    return FoundSongs(
        found.songs,
        tuple(_found(one) for one in found.best[:limit]),
        tuple(_by_count(found.counts["genre"].items(), str)[:_FACETS]),
        tuple(years[:_FACETS]),
        tuple(_by_decade(years)),
        tuple(_by_count(found.counts["artists"].items(), str)[:_FACETS]),
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """How many ``songs`` in all, the ``best`` of them, and how many by value of each facet."""

    songs: int
    best: list[Document]
    counts: dict[str, Counter[str]]


def _answer(result: Mapping[str, Any]) -> _Answer:
    counts = {facet: Counter[str]() for facet in _QUERY["facet_by"].split(",")}
    for facet in result["facet_counts"]:
        counts[facet["field_name"]].update({one["value"]: one["count"] for one in facet["counts"]})
    return _Answer(result["found"], [hit["document"] for hit in result["hits"]], counts)


def _union(*results: Mapping[str, Any]) -> _Answer:
    """What is found as it is written, then by stems, given what is found by both."""
    written, stemmed, both = map(_answer, results)
    shown = {one["id"] for one in written.best}
    return _Answer(
        written.songs + stemmed.songs - both.songs,
        [*written.best, *(one for one in stemmed.best if one["id"] not in shown)],
        {
            # Values of which none is left are none.
            facet: (counts + stemmed.counts[facet]) - both.counts[facet]
            for facet, counts in written.counts.items()
        },
    )


def _found(document: Document) -> FoundSong:
    return FoundSong(
        document["id"],
        document.get("title"),
        document.get("artist"),
        tuple(document["artists"]),
        document.get("album"),
        document.get("genre"),
        document.get("year"),
    )


def _by_count(counts: Iterable[tuple[Any, int]], kind: Callable[[Any], Any]) -> list[Any]:
    return sorted(((kind(value), n) for value, n in counts), key=lambda one: (-one[1], one[0]))


def _by_decade(years: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    decades: Counter[int] = Counter()
    for year, songs in years:
        decades[year // 10 * 10] += songs
    return _by_count(decades.items(), int)
