"""Songs by the words of their title, artists, album and lyrics.

Belongs here: the query to Typesense and what is read of its answer. Does not: what the collection
holds (``song_documents.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from assets.music.search.song_documents import genre_code
from assets.music.search.terms import EVERYTHING, has_words
from assets.sinks.typesense import Document, DocumentStore

_FACETS = 100
#: More years than songs can have: decades are counted from them.
_YEARS = 1_000
# Title and artists weigh more than the album, and that more than the lyrics.
_QUERY = {
    "query_by": "title,artists,album,lyrics",
    "query_by_weights": "8,8,4,2",
    # How many words a prefix or a misspelt word may stand for; the server's own 4 loses songs.
    "max_candidates": 1_000,
    "facet_by": "genre,year,artists",
    "max_facet_values": _YEARS,
    "sort_by": "_text_match:desc,song_key:asc",
    "exclude_fields": "lyrics",
    "highlight_fields": "none",
}


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

    None for a term without a word, which Typesense takes for all songs, or for whatever remains of
    it; but ``*`` does stand for all.
    """
    if term != EVERYTHING and not has_words(term):
        return FoundSongs(0, (), (), ())
    filters = [f"genre_code:={genre_code(genre)}"] if genre is not None else []
    if year is not None:
        filters.append(f"year:={int(year)}")
    answer = documents.search(
        {**_QUERY, "q": term, "per_page": limit, "filter_by": " && ".join(filters)}
    )
    counts = {
        facet["field_name"]: [(one["value"], one["count"]) for one in facet["counts"]]
        for facet in answer["facet_counts"]
    }
    years = _by_count(counts.get("year", ()), int)
    return FoundSongs(
        answer["found"],
        tuple(_found(hit["document"]) for hit in answer["hits"]),
        tuple(_by_count(counts.get("genre", ()), str)[:_FACETS]),
        tuple(years[:_FACETS]),
        tuple(_by_decade(years)),
        tuple(_by_count(counts.get("artists", ()), str)[:_FACETS]),
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
