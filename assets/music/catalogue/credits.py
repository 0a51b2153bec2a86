"""Artists and albums: lists with what gold sums up of each, and one of them.

Belongs here: their columns, filters and orders. Does not: their songs (``songs.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.music.catalogue.sorting import sorted_by
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

ArtistSort = Literal[
    "artist_key", "-artist_key", "artist", "-artist", "songs", "-songs", "total_duration",
    "-total_duration", "average_tempo", "-average_tempo", "average_loudness",
    "-average_loudness", "plays", "-plays", "listeners", "-listeners",
]  # fmt: skip
AlbumSort = Literal[
    "album_key", "-album_key", "album", "-album", "songs", "-songs", "average_duration",
    "-average_duration",
]  # fmt: skip
_ARTIST, _ALBUM = By("artist_key", "text"), By("album_key", "text")
_ARTIST_SORTS = {
    "artist": By("artist", "text", nullable=True, long=True),
    **{name: By(name, "bigint") for name in ("songs", "plays", "listeners")},
    **{
        name: By(name, "double precision", nullable=True)
        for name in ("total_duration", "average_tempo", "average_loudness")
    },
}
_ALBUM_SORTS = {
    "album": By("album", "text", nullable=True, long=True),
    "songs": By("songs", "bigint"),
    "average_duration": By("average_duration", "double precision", nullable=True),
}
_TERMS = 100


class UnknownArtistError(LookupError):
    """No song is by such an artist."""


class UnknownAlbumError(LookupError):
    """No song is on such an album."""


@dataclass(frozen=True, slots=True)
class Artist:
    """An artist who has a song: means of the songs that have a value, seconds in all."""

    artist_key: str
    artist: str | None
    songs: int
    average_tempo: float | None
    average_loudness: float | None
    total_duration: float | None
    location: str | None
    latitude: float | None
    longitude: float | None
    plays: int
    listeners: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Term:
    """What an artist is described by; ``weight`` as the files give it."""

    term: str
    kind: str
    weight: float | None


@dataclass(frozen=True, slots=True)
class ArtistDetails:
    """An artist, and the heaviest 100 terms and tags of each kind together."""

    artist: Artist
    terms: Sequence[Term]


@dataclass(frozen=True, slots=True)
class Album:
    """An album that has a song."""

    album_key: str
    album: str | None
    artists: Sequence[str]
    songs: int
    average_duration: float | None
    release_id: int | None
    updated_at: datetime


_ARTISTS = """
SELECT a.artist_key, a.artist, a.songs, a.average_tempo, a.average_loudness, a.total_duration,
    a.location, a.latitude, a.longitude, coalesce(p.plays, 0) AS plays,
    coalesce(p.listeners, 0) AS listeners, a.updated_at
FROM music.artist_performance AS a LEFT JOIN music.artist_plays AS p USING (artist_key)
"""
_ALBUMS = """
SELECT a.album_key, a.album, a.artists, a.songs, a.average_duration, d.release_id, a.updated_at
FROM music.album_performance AS a LEFT JOIN music.dim_album AS d USING (album_key)
"""
_TERMS_OF = """
SELECT term, kind, weight FROM music.bridge_artist_term WHERE artist_key = %s
ORDER BY weight DESC NULLS LAST, kind, term LIMIT %s
"""
_CURRENT_ALBUM = "SELECT album_key FROM music.album_redirect WHERE old_key = %s"


def artists(
    sort: ArtistSort = "artist_key", *, name: str | None = None, least_songs: int | None = None
) -> Listing[Artist]:
    """Artists of that name, whatever its case, with at least so many songs."""
    filters, bound = where({"lower(a.artist) = lower({})": name, "a.songs >= {}": least_songs})
    order = sorted_by(sort, _ARTIST_SORTS, _ARTIST)
    return Listing(Artist, f"{_ARTISTS} {filters}", order, bound)


def artist(connection: Connection, artist_key: str) -> ArtistDetails:
    """One artist. Raises UnknownArtistError."""
    filters, bound = where({"a.artist_key = {}": artist_key})
    found = Listing(Artist, f"{_ARTISTS} {filters}", (_ARTIST,), bound).page(connection, 1).rows
    if not found:
        raise UnknownArtistError(f"no artist {artist_key!r}")
    terms = connection.execute(_TERMS_OF, (artist_key, _TERMS)).fetchall()
    return ArtistDetails(found[0], [Term(*one) for one in terms])


def albums(
    sort: AlbumSort = "album_key",
    *,
    title: str | None = None,
    artist: str | None = None,
    artist_key: str | None = None,
) -> Listing[Album]:
    """Albums of that title, whatever its case, by an artist as named, or of that key."""
    filters, bound = where(
        {
            "lower(a.album) = lower({})": title,
            "{} = ANY (a.artists)": artist,
            "a.album_key IN (SELECT album_key FROM music.bridge_album_artist"
            " WHERE artist_key = {})": artist_key,
        }
    )
    return Listing(Album, f"{_ALBUMS} {filters}", sorted_by(sort, _ALBUM_SORTS, _ALBUM), bound)


def album(connection: Connection, album_key: str) -> Album:
    """One album; a key of before leads to what it became part of. Raises UnknownAlbumError."""
    moved = connection.execute(_CURRENT_ALBUM, (album_key,)).fetchone()
    filters, bound = where({"a.album_key = {}": moved[0] if moved else album_key})
    found = Listing(Album, f"{_ALBUMS} {filters}", (_ALBUM,), bound).page(connection, 1).rows
    if not found:
        raise UnknownAlbumError(f"no album {album_key!r}")
    return found[0]
