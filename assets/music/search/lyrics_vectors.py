"""Passages of lyrics in Milvus: a vector of each for meaning, BM25 over its words.

Belongs here: the collection, which passages a song has there, writing and reading them back. Does
not: how lyrics are cut (``passages.py``), embedding, searching (``lyrics_search.py``).

Key of a passage is ``<song_key>#<number from 0>``. Its ``row_hash`` is of everything that the
song's passages say, so that a song whose details changed but not its lyrics is left as it is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assets.embeddings import EmbeddingResult, Space, VectorCache, embedder, hash_of
from assets.music.registry.search import PASSAGES
from assets.music.search.passages import passages
from assets.music.search.song_rows import Song, read_songs
from assets.sinks.milvus import BATCH_ROWS, SPARSE, VECTOR, Row, VectorStore
from assets.sinks.milvus_index import Index
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    from pymilvus import MilvusClient

    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

KEY, SONG, PASSAGE, TEXT = "chunk_id", "song_key", "passage", "text"
#: Fields that hold passages by meaning and by words.
MEANING, WORDS = VECTOR, SPARSE


@dataclass(frozen=True, slots=True)
class Passage:
    """One row of the collection, its vector aside."""

    chunk_id: str
    song_key: str
    number: int
    kind: str
    row_hash: str
    text: str

    @property
    def text_hash(self) -> str:
        """Key of the passage's embedding."""
        return hash_of(self.text)


def store(client: MilvusClient, name: str, space: Space, index: str = "auto") -> VectorStore:
    """The collection: chunk_id, song_key, kind (text or words), row_hash, passage, text, vector."""
    return VectorStore(client, name, space, PASSAGES, Index.parse(index), TEXT)


def write(
    pages: Iterable[Sequence[str]],
    collection: VectorStore,
    pg: PostgresResource,
    openai: OpenAIResource,
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Make the collection hold the passages of the songs of the pages of keys, and no others.

    ``refuse`` is told of songs of which the API refuses a passage, or Milvus, while they take
    others; such a song has no passage at all, for a part of its lyrics would be found as all.

    Only what differs is written: ``unchanged`` passages were there with the same hash, ``deleted``
    are those of shortened lyrics and of songs that are gone or have no lyrics any more.
    ``details``: songs (with lyrics), embedded, calls, tokens. Raises what the three servers'
    clients raise, PermanentError for a collection of another model or schema.
    """
    started = time.monotonic()
    collection.ensure()
    written = unchanged = deleted = songs = 0
    paid = EmbeddingResult()
    refused: set[str] = set()

    def set_aside(song_key: str, detail: str) -> None:
        if refuse and song_key not in refused:
            refused.add(song_key)
            refuse(song_key, detail)

    isolating = collection.isolating(
        (lambda key, detail: set_aside(key.rpartition("#")[0], detail)) if refuse else None
    )
    with embedder(pg, openai) as (filler, cache), pg.connect(autocommit=True) as connection:
        for keys in pages:
            wanted = [passages_of(song) for song in read_songs(connection, keys)]
            before = collection.where(SONG, keys, ["row_hash"])
            new = [p for of_song in wanted if _differ(of_song, before) for p in of_song]
            for at in range(0, len(new), BATCH_ROWS):
                part, by_api = new[at : at + BATCH_ROWS], dict[str, str]()
                texts = {passage.text_hash: passage.text for passage in part}
                paid = paid.plus(filler.ensure(texts, by_api if refuse else None))
                for one in part:
                    if one.text_hash in by_api:
                        set_aside(
                            one.song_key, f"{openai.embedding_model}: {by_api[one.text_hash]}"
                        )
                left = [passage for passage in part if passage.song_key not in refused]
                isolating.write(_rows(left, cache), collection.upsert)
            current = {p.chunk_id for of_song in wanted for p in of_song}
            deleted += collection.delete(sorted(before.keys() - current))
            written += len(current)
            unchanged += len(current) - len(new)
            songs += sum(bool(of_song) for of_song in wanted)
        isolating.settle()
        for song in read_songs(connection, sorted(refused)):
            written, songs = written - len(passages_of(song)), songs - 1
            deleted += collection.delete(list(collection.where(SONG, [song.song_key], ())))
    if deleted or written > unchanged:
        collection.flush()
    details = {"songs": songs, **paid.details}
    return SinkResult(written, unchanged, deleted, time.monotonic() - started, details)


def verify(
    pages: Iterable[Sequence[str]],
    collection: VectorStore,
    pg: PostgresResource,
    refused: Container[str] = (),
) -> Verification:
    """Exactly the passages that the songs have now are there, with their hashes.

    None of the ``refused`` songs is.
    A few vectors per page are compared with the cached ones, number by number.
    """
    total = Verification()
    with pg.connect(autocommit=True) as connection:
        cache = VectorCache(connection, collection.space)
        for keys in pages:
            wanted = {
                passage.chunk_id: passage
                for song in read_songs(connection, keys)
                if song.song_key not in refused
                for passage in passages_of(song)
            }
            there = collection.where(SONG, keys, ["row_hash"])
            found = {key: row["row_hash"] for key, row in there.items()}
            expected = {key: passage.row_hash for key, passage in wanted.items()}
            total = total.plus(compared(expected, found, sorted(found.keys() - wanted.keys())))
            same = {k: p.text_hash for k, p in wanted.items() if found.get(k) == p.row_hash}
            total = total.plus(collection.sampled(same, cache))
    return total


def songs(client: MilvusClient, name: str) -> int:
    """How many songs have passages in the collection; none when there is no collection.

    Reads the key of every passage's song, a thousand at a time.
    """
    if not client.has_collection(name):
        return 0
    client.load_collection(name)
    distinct: set[str] = set()
    for page in store(client, name, Space("")).pages(SONG):
        distinct.update(page)
    return len(distinct)


def passages_of(song: Song) -> list[Passage]:
    """The song's passages, in their order; none for a song without lyrics."""
    texts, kind = passages(song.lyrics), song.lyrics.kind
    digest = hashlib.blake2b("\x1f".join((kind, *texts)).encode(), digest_size=16).hexdigest()
    return [
        Passage(f"{song.song_key}#{number}", song.song_key, number, kind, digest, text)
        for number, text in enumerate(texts)
    ]


def _differ(passages: Sequence[Passage], before: Mapping[str, Row]) -> bool:
    return any(
        passage.chunk_id not in before or before[passage.chunk_id]["row_hash"] != passage.row_hash
        for passage in passages
    )


def _rows(passages: Sequence[Passage], cache: VectorCache) -> list[Row]:
    vectors = cache.required(passage.text_hash for passage in passages)
    return [
        {
            KEY: passage.chunk_id,
            SONG: passage.song_key,
            "kind": passage.kind,
            "row_hash": passage.row_hash,
            PASSAGE: passage.number,
            TEXT: passage.text,
            VECTOR: vectors[passage.text_hash],
        }
        for passage in passages
    ]
