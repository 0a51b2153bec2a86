"""The pipeline's answers: songs by words, songs by meaning, songs like a song.

Belongs here: the computations that queries share. Does not: serving them, and what the indexes
hold (``typesense_songs.py``, ``milvus_lyrics.py``).

Every answer is in a stated order without ties left open, so that asking again gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from assets.embeddings import embed
from assets.music.search import milvus_lyrics, typesense_songs
from assets.music.search.ranking import (
    Hit,
    best_by_song,
    fused,
    ranks,
    search_until,
)

if TYPE_CHECKING:
    import psycopg
    from openai import OpenAI
    from typesense.sync.client import Client

    from assets.sinks.milvus import VectorStore

By = Literal["audio", "lyrics"]

MOST_SONGS = 100
TERM_CHARACTERS = 1_000
#: Songs of each ranking that are fused: the same for every number of songs asked for, so that the
#: first five of ten are the five.
DEPTH = 200
_FACETS = 100

# Facets of songs: title and artists weigh more than the album, and that more than the lyrics.
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

_KNOWN = "SELECT FROM music.gold_song_details WHERE song_key = %s"
_MISSING_FEATURES = """
SELECT array_remove(ARRAY[
    CASE WHEN tempo IS NULL THEN 'tempo' END, CASE WHEN loudness IS NULL THEN 'loudness' END,
    CASE WHEN duration IS NULL THEN 'duration' END, CASE WHEN key IS NULL THEN 'key' END,
    CASE WHEN mode IS NULL THEN 'mode' END,
    CASE WHEN time_signature IS NULL THEN 'time_signature' END], NULL)
FROM music.gold_song_details WHERE song_key = %s
"""


class UnknownSongError(LookupError):
    """There is no such song."""

    def __init__(self, song_key: str) -> None:
        super().__init__(f"no song {song_key!r}")
        self.song_key = song_key


class NothingToCompareError(LookupError):
    """The song lacks what the comparison is about."""


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


@dataclass(frozen=True, slots=True)
class LyricsMatch:
    """A song whose lyrics answer a term, with the passage that answers best.

    ``score`` is the sum of 1 / (60 + rank) over both rankings, rounded to 6 decimals; a rank is
    None where the song is not among the first DEPTH by meaning, or holds none of the words.
    """

    song_key: str
    score: float
    rank_by_meaning: int | None
    rank_by_words: int | None
    passage: str


@dataclass(frozen=True, slots=True)
class SimilarSong:
    """A song like another one; ``value`` is what the answer is ordered by, see similar_songs."""

    song_key: str
    value: float


def search_songs(
    client: Client,
    collection: str,
    term: str,
    limit: int = 10,
    *,
    genre: str | None = None,
    year: int | None = None,
) -> FoundSongs:
    """Songs whose title, artists, album or lyrics hold the words of ``term``, the last as a prefix.

    Misspelt words find songs when the words as written find none. ``*`` stands for all songs.
    ``genre`` is compared without regard to case and spacing. Order: Typesense's text match, then
    song key. Raises ValueError for an empty or overlong term or a limit out of 1 to 100,
    PermanentError or TransientError for what Typesense refuses.
    """
    filters = [f"genre_code:={typesense_songs.genre_code(genre)}"] if genre is not None else []
    if year is not None:
        filters.append(f"year:={int(year)}")
    parameters = {
        **_QUERY,
        "collection": collection,
        "q": _term(term),
        "per_page": _limit(limit),
        "filter_by": " && ".join(filters),
    }
    with typesense_songs.asking("a search"):
        answer = typesense_songs.search(client, parameters)
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


def search_lyrics(
    lyrics: VectorStore, openai: OpenAI, term: str, limit: int = 10
) -> tuple[LyricsMatch, ...]:
    """Songs whose lyrics mean ``term`` or hold its words, best first.

    Hybrid search over passages: cosine of the embeddings, and BM25. Each gives a ranking of songs
    (a song stands where its best passage does) of which the first DEPTH are fused by reciprocal
    rank. Fused here and not by Milvus, which would fuse passages: a song with many middling ones
    would push others down, and equal scores would be ranked as they happen to lie. Order: score
    rounded to 6 decimals, then song key.

    Raises ValueError for an empty or overlong term or a limit out of 1 to 100, and what the
    clients of Milvus and of the embeddings raise.
    """
    wanted, limit = _term(term), _limit(limit)
    vector = _vector(openai, lyrics, wanted)
    by_meaning = search_until(_search(lyrics, milvus_lyrics.MEANING, "COSINE", vector), DEPTH)
    by_words = search_until(_search(lyrics, milvus_lyrics.WORDS, "BM25", wanted), DEPTH)
    meaning, words = ranks(by_meaning), ranks(by_words)
    best = fused((meaning, words))[:limit]
    # The passage to show is that of the ranking in which the song stands higher.
    passages = {hit.song_key: hit.passage for hit in by_meaning}
    passages |= {
        hit.song_key: hit.passage
        for hit in by_words
        if words[hit.song_key] <= meaning.get(hit.song_key, DEPTH)
    }
    keys = {song: f"{song}#{passages[song]}" for song, _ in best}
    texts = lyrics.stored(list(keys.values()), [milvus_lyrics.TEXT])
    return tuple(
        LyricsMatch(
            song,
            score,
            meaning.get(song),
            words.get(song),
            texts.get(keys[song], {}).get(milvus_lyrics.TEXT, ""),
        )
        for song, score in best
    )


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

    Raises UnknownSongError, NothingToCompareError for a song without lyrics or without some of the
    features, ValueError unless 1 <= k <= 100.
    """
    _limit(k)
    if by == "lyrics":
        return _similar_by_lyrics(connection, lyrics, song_key, k)
    row = connection.execute(_MISSING_FEATURES, (song_key,)).fetchone()
    if row is None:
        raise UnknownSongError(song_key)
    if row[0]:
        raise NothingToCompareError(f"song {song_key!r} has no {', '.join(row[0])}")
    statement = resources.files("assets.music.search").joinpath("similar_by_audio.sql").read_bytes()
    rows = connection.execute(statement, {"song": song_key, "songs": k})
    return tuple(SimilarSong(other, float(distance)) for other, distance in rows)


def _similar_by_lyrics(
    connection: psycopg.Connection[Any], lyrics: VectorStore, song_key: str, k: int
) -> tuple[SimilarSong, ...]:
    if connection.execute(_KNOWN, (song_key,)).fetchone() is None:
        raise UnknownSongError(song_key)
    own = lyrics.where(milvus_lyrics.SONG, [song_key], [milvus_lyrics.MEANING])
    if not own:
        raise NothingToCompareError(f"song {song_key!r} has no lyrics")
    hits: list[Hit] = []
    for passage in own.values():
        search = _search(lyrics, milvus_lyrics.MEANING, "COSINE", passage[milvus_lyrics.MEANING])
        # One more: the song itself is the most like it.
        hits += search_until(search, k + 1)
    others = best_by_song(hit for hit in hits if hit.song_key != song_key)
    return tuple(SimilarSong(hit.song_key, hit.score) for hit in others[:k])


def _search(
    lyrics: VectorStore, field: str, metric: str, data: Any
) -> Callable[[int], Sequence[Hit]]:
    """A search of the passages that takes the number of passages wanted."""

    def search(limit: int) -> list[Hit]:
        params = {"ef": limit} if metric == "COSINE" else {}
        (found,) = lyrics.client.search(
            lyrics.name,
            data=[data],
            limit=limit,
            anns_field=field,
            search_params={"metric_type": metric, "params": params},
            output_fields=[milvus_lyrics.SONG, milvus_lyrics.PASSAGE],
            consistency_level="Strong",
        )
        # The embedded server gives BM25 scores, which are positive, a minus: they are distances.
        score = abs if metric == "BM25" else float
        return [
            Hit(hit[milvus_lyrics.SONG], hit[milvus_lyrics.PASSAGE], score(float(hit["distance"])))
            for hit in found
        ]

    return search


def _vector(openai: OpenAI, lyrics: VectorStore, term: str) -> Any:
    import numpy as np

    (raw,), _ = embed(openai, lyrics.space, [term])
    return np.frombuffer(raw, dtype="<f4")


def _found(document: dict[str, Any]) -> FoundSong:
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


def _term(term: str) -> str:
    words = term.strip()
    if not words or len(words) > TERM_CHARACTERS:
        raise ValueError(f"a term has 1 to {TERM_CHARACTERS:,} characters, not {len(words):,}")
    return words


def _limit(limit: int) -> int:
    if not 1 <= limit <= MOST_SONGS:
        raise ValueError(f"from 1 to {MOST_SONGS} songs can be asked for, not {limit}")
    return limit
