"""Songs by the words of their title, artists, album and lyrics.

Belongs here: the query to Typesense and what is read of its answer. Does not: what the collection
holds (``song_documents.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from assets.music.search.song_documents import genre_code
from assets.sinks.typesense import Document, DocumentStore

_FACETS = 100
# Title and artists weigh more than the album, and that more than the lyrics.
_QUERY = {
    "query_by": "title,artists,album,lyrics",
    "query_by_weights": "8,8,4,2",
    # How many words a prefix or a misspelt word may stand for; the server's own 4 loses songs.
    "max_candidates": 1_000,
    "facet_by": "genre,year",
    "max_facet_values": _FACETS,
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
    """``found`` songs in all, the best of them, and how many there are by genre and by year.

    Genres and years are the 100 most frequent ones, by count (descending), then value.
    """

    found: int
    songs: tuple[FoundSong, ...]
    genres: tuple[tuple[str, int], ...]
    years: tuple[tuple[int, int], ...]


def matching(
    documents: DocumentStore, term: str, limit: int, genre: str | None, year: int | None
) -> FoundSongs:
    """Songs that hold the words of ``term``, by Typesense's text match, then song key."""
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
    return FoundSongs(
        answer["found"],
        tuple(_found(hit["document"]) for hit in answer["hits"]),
        tuple(_by_count(counts.get("genre", ()), str)),
        tuple(_by_count(counts.get("year", ()), int)),
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


def _by_count(counts: Sequence[tuple[str, int]], kind: Callable[[str], Any]) -> list[Any]:
    return sorted(((kind(value), n) for value, n in counts), key=lambda one: (-one[1], one[0]))
