"""What the outside asks of music: songs by words, by meaning, like a song, and by plays.

Belongs here: all that an API, the demo or a command may call. Does not: how an answer is computed
(``assets.music.search``, ``assets.music.plays``), nor anything that writes but an operator's word.

Every answer is in a stated order without ties left open, so that asking again gives the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from assets.embeddings import Space
from assets.music.bronze.taken_down import take_down
from assets.music.catalogue import songs as listed_songs
from assets.music.catalogue.content import FileContent, FileTakenDownError, content, name_is
from assets.music.catalogue.credits import (
    Album,
    AlbumSort,
    Artist,
    ArtistDetails,
    ArtistSort,
    UnknownAlbumError,
    UnknownArtistError,
    album,
    albums,
    artist,
    artists,
)
from assets.music.catalogue.files import SOURCE as FILES
from assets.music.catalogue.files import (
    FileState,
    FileStatus,
    MusicFile,
    UnknownFileError,
    file,
    files,
)
from assets.music.catalogue.songs import LyricsStatus, Song, SongDetails, SongSort, songs
from assets.music.plays import listening
from assets.music.plays.listening import PlayedSong, SongPlays, UnknownListenerError
from assets.music.search import (
    by_mode,
    lyrics_search,
    lyrics_vectors,
    song_documents,
    song_search,
)
from assets.music.search import (
    similar_songs as similar,
)
from assets.music.search.by_mode import Mode, Searched, names_of
from assets.music.search.floors import floor_of
from assets.music.search.lyrics_search import LyricsMatch
from assets.music.search.similar_songs import (
    NothingToCompareError,
    SimilarSong,
    UnknownSongError,
)
from assets.music.search.song_search import FoundSong, FoundSongs
from assets.music.search.terms import trimmed
from assets.music.silver.identity import current_key
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg
    from openai import OpenAI
    from pymilvus import MilvusClient
    from typesense.sync.client import Client

    from assets.sinks.milvus import VectorStore
    from assets.sinks.typesense import DocumentStore

__all__ = [
    "FILES", "MOST_SONGS", "Album", "AlbumSort", "Artist", "ArtistDetails", "ArtistSort", "By",
    "FileContent", "FileState", "FileStatus", "FileTakenDownError", "FoundSong", "FoundSongs",
    "LyricsMatch", "LyricsStatus", "Mode", "MusicFile", "NothingToCompareError", "PlayedSong",
    "Searched", "SimilarSong", "Song", "SongDetails", "SongPlays", "SongSort", "UnknownAlbumError",
    "UnknownArtistError", "UnknownFileError", "UnknownListenerError", "UnknownSongError", "album",
    "albums", "artist", "artists", "content", "file", "files", "listener_songs", "lyrics_index",
    "name_is", "names_of", "rests_on", "search", "search_lyrics", "search_songs", "similar_songs",
    "song", "song_index", "song_plays", "songs", "songs_with_lyrics", "take_down",
]  # fmt: skip

By = Literal["audio", "lyrics", "listeners"]

MOST_SONGS = 100


def song_index(client: Client, name: str) -> DocumentStore:
    """The songs in Typesense, of a client that stays the caller's to close."""
    return song_documents.store(client, name)


def lyrics_index(client: MilvusClient, name: str, model: str) -> VectorStore:
    """The passages of lyrics in Milvus, loaded; ``model`` is that of their embeddings.

    Raises as VectorStore.ensure.
    """
    lyrics = lyrics_vectors.store(client, name, Space(model))
    lyrics.ensure()
    return lyrics


def songs_with_lyrics(lyrics: VectorStore) -> int:
    """How many songs the index of lyrics knows."""
    return lyrics_vectors.songs(lyrics.client, lyrics.name)


def search_songs(
    songs: DocumentStore,
    term: str,
    limit: int = 10,
    *,
    genre: str | None = None,
    year: int | None = None,
) -> FoundSongs:
    """Songs whose title, artists, album or lyrics hold the words of ``term``, the last as a prefix.

    A song of which only stems are known is found by the stems of the words, too, after those that
    hold the words. Misspelt words find songs when the words as written find none; words in ``"``
    are a phrase. ``*`` stands for all songs; a term without a letter or digit finds none.
    ``genre`` is compared without regard to case and spacing. Order: Typesense's text match, then
    song key. Raises ValueError for an empty or overlong term or a limit out of 1 to 100,
    PermanentError or TransientError for what Typesense refuses.
    """
    return song_search.matching(songs, trimmed(term), _limit(limit), genre, year)


def search_lyrics(
    lyrics: VectorStore, openai: OpenAI, term: str, limit: int = 10, *, floor: float | None = None
) -> tuple[LyricsMatch, ...]:
    """Songs whose lyrics mean ``term`` or hold its words, best first.

    Hybrid search over passages: cosine of the embeddings, and BM25. Each gives a ranking of songs,
    the first of which are fused by reciprocal rank. Order: score rounded to 6 decimals, then the
    cosine, then BM25, then song key. Songs with a cosine below ``floor`` mean something else: None
    is the model's own floor (``floors.py``). What is near to nothing, and holds no words of lyrics,
    finds none; nor does a term without a letter or digit. Raises ValueError
    for an empty or overlong term or a limit out of 1 to 100, and what the clients of Milvus and of
    the embeddings raise.
    """
    least = floor_of(lyrics.space.model) if floor is None else floor
    return lyrics_search.matching(lyrics, openai, trimmed(term), _limit(limit), least)


def search(
    term: str,
    mode: Mode = "words",
    limit: int = 10,
    *,
    connection: psycopg.Connection[Any] | None = None,
    songs: DocumentStore | None = None,
    lyrics: VectorStore | None = None,
    openai: OpenAI | None = None,
    genre: str | None = None,
    year: int | None = None,
) -> Searched:
    """Songs by words (:func:`search_songs`), by meaning (:func:`search_lyrics`), or by both.

    ``hybrid`` fuses the best 100 of each by reciprocal rank. By words only ``songs`` is asked, by
    meaning all but it, and ``genre`` and ``year`` are of words alone. Raises as those two do.
    """
    depth = _limit(limit) if mode != "hybrid" else by_mode.DEPTH
    found = matches = None
    if mode != "meaning" and songs is not None:
        found = search_songs(songs, term, depth, genre=genre, year=year)
    if mode != "words" and lyrics is not None and openai is not None:
        matches = search_lyrics(lyrics, openai, term, depth)
    if found and matches is None:
        return by_mode.by_words(found)
    if connection is None or matches is None:
        raise ValueError(f"{mode} needs more than it was given")
    if found is None:
        return by_mode.by_meaning(connection, matches, limit)
    return by_mode.by_both(connection, found, matches, limit)


def song(connection: psycopg.Connection[Any], song_key: str) -> SongDetails:
    """All that is known of a song.

    A key of before the song became part of another leads to that one. Raises UnknownSongError.
    """
    return listed_songs.details(connection, current_key(connection, song_key))


def similar_songs(
    connection: psycopg.Connection[Any],
    lyrics: VectorStore,
    song_key: str,
    k: int = 10,
    by: By = "audio",
) -> tuple[SimilarSong, ...]:
    """The k songs most like a song, in order of ``value`` rounded to 6 decimals, then song key.

    ``audio``: ``value`` is the Euclidean distance (smallest first) of the z-scored tempo, loudness,
    duration, mode, time signature and key (``similar_by_audio.sql`` has the formula), among songs
    that have all of them. ``lyrics``: the highest cosine (largest first) of any passage of the one
    song with any passage of the other. It is exact, unlike the cosine of two mean vectors over an
    index of passages, and one verse in common is what makes two songs alike.

    ``listeners``: the score (largest first) of Last.fm's similar tracks, of those that are songs
    here.

    A key of before the song became part of another leads to that one. Raises UnknownSongError,
    NothingToCompareError for a song without lyrics, without some of the features or without similar
    tracks, ValueError unless 1 <= k <= 100.
    """
    key = current_key(connection, song_key)
    if by == "listeners":
        return similar.by_listeners(connection, key, _limit(k))
    if by == "lyrics":
        return similar.by_lyrics(connection, lyrics, key, _limit(k))
    return similar.by_audio(connection, key, _limit(k))


def song_plays(connection: psycopg.Connection[Any], song_key: str) -> SongPlays:
    """How often a song was played, and by how many listeners; both 0 when no file says so.

    A key of before the song became part of another leads to that one. Raises UnknownSongError.
    """
    return listening.plays_of(connection, current_key(connection, song_key))


def listener_songs(
    connection: psycopg.Connection[Any], user_id: str, limit: int = 10
) -> tuple[PlayedSong, ...]:
    """The songs that a listener played most, in order of plays, then song key.

    Songs that no file tells of are left out. Raises UnknownListenerError, ValueError unless
    1 <= limit <= 100.
    """
    return listening.top_songs(connection, user_id, _limit(limit))


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_SONGS:
        raise ValueError(f"from 1 to {MOST_SONGS} songs can be asked for, not {limit}")
    return limit


def rests_on(connection: psycopg.Connection[Any]) -> Delivered | None:
    """What any sink of music was last told."""
    return newest_delivery(connection, "music")
