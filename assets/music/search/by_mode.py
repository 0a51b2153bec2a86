"""One question for songs in three ways: by words, by meaning, or by both.

Belongs here: fusing the two, and naming the songs that were found. Does not: the two searches
(``song_search.py``, ``lyrics_search.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.music.search.lyrics_search import LyricsMatch
from assets.music.search.ranking import Hit, fused
from assets.music.search.song_search import FoundSong, FoundSongs

if TYPE_CHECKING:
    import psycopg

Mode = Literal["words", "meaning", "hybrid"]

#: Songs of each ranking that are fused.
DEPTH = 100
_NAMED = """
SELECT song_key, title, artist, artists, album, genre, year FROM music.song_details
WHERE song_key = ANY(%s)
"""


@dataclass(frozen=True, slots=True)
class SearchedSong:
    """A song that was found: its rank by words of its names and lyrics, by its lyrics' meaning.

    None where the ranking lacks it, or was not asked. ``passage`` of its lyrics answers best.
    """

    song: FoundSong
    rank_by_words: int | None
    rank_by_meaning: int | None
    passage: str | None


@dataclass(frozen=True, slots=True)
class Searched:
    """The best songs; ``words`` has how many hold the words, counted by genre, year and artist."""

    mode: Mode
    songs: tuple[SearchedSong, ...]
    words: FoundSongs | None


def by_words(found: FoundSongs) -> Searched:
    """As the search by words has them."""
    songs = tuple(
        SearchedSong(song, rank, None, None) for rank, song in enumerate(found.songs, start=1)
    )
    return Searched("words", songs, _counts(found))


def by_meaning(
    connection: psycopg.Connection[Any], matches: Sequence[LyricsMatch], limit: int
) -> Searched:
    """As the search of lyrics has them; songs that are gone by now are left out."""
    named = names_of(connection, (one.song_key for one in matches))
    songs = tuple(
        SearchedSong(named[one.song_key], None, rank, one.passage)
        for rank, one in enumerate(matches, start=1)
        if one.song_key in named
    )
    return Searched("meaning", songs[:limit], None)


def by_both(
    connection: psycopg.Connection[Any],
    found: FoundSongs,
    matches: Sequence[LyricsMatch],
    limit: int,
) -> Searched:
    """Both rankings by reciprocal rank; of equal sums the better one by words comes first."""
    words = {song.song_key: rank for rank, song in enumerate(found.songs, start=1)}
    meaning = {one.song_key: rank for rank, one in enumerate(matches, start=1)}
    best = fused(*([Hit(key, 0, -rank) for key, rank in by.items()] for by in (words, meaning)))
    named = names_of(connection, (key for key in meaning if key not in words))
    named |= {song.song_key: song for song in found.songs}
    passages = {one.song_key: one.passage for one in matches}
    songs = tuple(
        SearchedSong(named[key], words.get(key), meaning.get(key), passages.get(key))
        for key, _ in best
        if key in named
    )
    return Searched("hybrid", songs[:limit], _counts(found))


def _counts(found: FoundSongs) -> FoundSongs:
    return FoundSongs(found.found, (), found.genres, found.years, found.decades, found.artists)


def names_of(connection: psycopg.Connection[Any], keys: Iterable[str]) -> dict[str, FoundSong]:
    """Those of the songs that there are, by key."""
    rows = connection.execute(_NAMED, (list(keys),)).fetchall()
    return {
        key: FoundSong(key, title, artist, tuple(artists), album, genre, year)
        for key, title, artist, artists, album, genre, year in rows
    }
