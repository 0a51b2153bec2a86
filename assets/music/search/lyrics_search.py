"""Songs by what their lyrics mean and by the words in them, and songs with lyrics like a song's.

Belongs here: the queries to Milvus, and which passage stands for a song. Does not: ranking
(``ranking.py``), what the collection holds (``lyrics_vectors.py``).

Rankings are of songs, a song standing where its best passage does, and are fused here and not by
Milvus, which would fuse passages: a song with many middling ones would push others down, and equal
scores would be ranked as they happen to lie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.embeddings import embed
from assets.music.search.lyrics_vectors import MEANING, PASSAGE, SONG, TEXT, WORDS
from assets.music.search.ranking import Hit, best_by_song, fused, ranks, search_until
from assets.music.search.stems import stems
from assets.music.search.terms import has_words

if TYPE_CHECKING:
    from openai import OpenAI

    from assets.sinks.milvus import VectorStore

#: Songs of each ranking that are fused: the same for every number of songs asked for, so that the
#: first five of ten are the five.
DEPTH = 200


@dataclass(frozen=True, slots=True)
class LyricsMatch:
    """A song whose lyrics answer a term, with the passage that answers best.

    ``score`` is the sum of 1 / (60 + rank) over both rankings, rounded to 6 decimals; a rank is
    None where the song is not among the first DEPTH by meaning or not near enough, or holds none of
    the words. ``cosine`` is that of its nearest passage, where it has a rank by meaning.
    """

    song_key: str
    score: float
    rank_by_meaning: int | None
    rank_by_words: int | None
    passage: str
    cosine: float | None = None


def matching(
    lyrics: VectorStore, openai: OpenAI, term: str, limit: int, floor: float
) -> tuple[LyricsMatch, ...]:
    """The first DEPTH songs by meaning and by words, fused; none for a term without a word.

    By meaning only those whose cosine is at least ``floor``.
    """
    if not has_words(term):
        return ()
    nearest_songs = search_until(
        _search(lyrics, MEANING, "COSINE", _vector(openai, lyrics, term)), DEPTH
    )
    by_meaning = [hit for hit in nearest_songs if hit.score >= floor]
    by_words = search_until(_search(lyrics, WORDS, "BM25", with_stems(term)), DEPTH)
    meaning, words = ranks(by_meaning), ranks(by_words)
    best = fused(by_meaning, by_words)[:limit]
    # The passage to show is that of the ranking in which the song stands higher.
    passages = {hit.song_key: hit.passage for hit in by_meaning}
    passages |= {
        hit.song_key: hit.passage
        for hit in by_words
        if words[hit.song_key] <= meaning.get(hit.song_key, DEPTH)
    }
    keys = {song: f"{song}#{passages[song]}" for song, _ in best}
    texts = lyrics.stored(list(keys.values()), [TEXT])
    cosines = {hit.song_key: hit.score for hit in by_meaning}
    return tuple(
        LyricsMatch(
            song,
            score,
            meaning.get(song),
            words.get(song),
            texts.get(keys[song], {}).get(TEXT, ""),
            cosines.get(song),
        )
        for song, score in best
    )


def with_stems(term: str) -> str:
    """The term, and after it those stems of its words that are no words of it.

    BM25 asks for any of the words, so that passages of bags are found by the stems, and texts by
    the words.
    """
    words = {word.lower() for word in re.findall(r"\w+", term)}
    return " ".join([term, *(stem for stem in stems(term) if stem not in words)])


def nearest(lyrics: VectorStore, song_key: str, songs: int) -> list[Hit] | None:
    """The songs with the passages nearest to any of the song's own; None when it has none."""
    own = lyrics.where(SONG, [song_key], [MEANING])
    if not own:
        return None

    def hits() -> Iterator[Hit]:
        for passage in own.values():
            # One more: the song itself is the most like it.
            yield from search_until(_search(lyrics, MEANING, "COSINE", passage[MEANING]), songs + 1)

    return best_by_song(hit for hit in hits() if hit.song_key != song_key)[:songs]


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
            output_fields=[SONG, PASSAGE],
            consistency_level="Strong",
        )
        # The embedded server gives BM25 scores, which are positive, a minus: they are distances.
        score = abs if metric == "BM25" else float
        return [Hit(hit[SONG], hit[PASSAGE], score(float(hit["distance"]))) for hit in found]

    return search


def _vector(openai: OpenAI, lyrics: VectorStore, term: str) -> Any:
    import numpy as np

    (raw,), _ = embed(openai, lyrics.space, [term])
    return np.frombuffer(raw, dtype="<f4")
