"""Files of music on their way to both search indexes, and the three ways of asking these.

Belongs here: what the benchmark and the test of search share. Does not: judged queries
(``search_judged.py``).

Records go through the pipeline's own readers, silver and gold; what is left out is landing. Of
musiXmatch only the tracks that other files know are taken: the others wait for their songs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import psycopg

from assets.embeddings import Space
from assets.music.answers import search_lyrics, search_songs
from assets.music.bronze.formats.sniffing import read_records
from assets.music.gold.replacement import replace
from assets.music.gold.targets import TARGETS
from assets.music.search import lyrics_vectors, song_documents
from assets.music.search.song_rows import TouchedPages
from benchmarks.search_judged import DEPTH, Named
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import UnreadableObject
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource
from tests.integration.music.silver_world import Record, SilverWorld

if TYPE_CHECKING:
    from openai import OpenAI

    from assets.sinks.milvus import VectorStore
    from assets.sinks.typesense import DocumentStore

SERVERS = ("postgres", "typesense", "milvus", "openai")

_BATCH = "judged"
_NAMES = """
SELECT g.song_key, coalesce(g.title, ''),
    concat_ws('; ', g.artist, array_to_string(g.artists, '; ')), coalesce(l.text, ''),
    jsonb_path_query_array(CASE WHEN l.text IS NULL THEN l.words END, '$[*].word')
FROM music.song_details AS g LEFT JOIN music.song_lyrics AS l USING (song_key)
"""
#: All that may be among the first by meaning is among so many of both.
_FUSED = 100


@dataclass(frozen=True)
class Corpus:
    """Both indexes of some songs."""

    songs: list[Named]
    documents: DocumentStore
    lyrics: VectorStore
    openai: OpenAI

    def by_words(self, term: str) -> list[str]:
        """Keys of the first songs whose fields hold the words."""
        return [song.song_key for song in search_songs(self.documents, term, DEPTH).songs]

    def by_lyrics(self, term: str, floor: float | None = None) -> Lyrics:
        """Songs by meaning and by words of their lyrics."""
        matches = search_lyrics(self.lyrics, self.openai, term, _FUSED, floor=floor)
        near = [(match.cosine, match.song_key) for match in matches if match.cosine is not None]
        near.sort(key=lambda one: (-one[0], one[1]))
        return Lyrics([match.song_key for match in matches], [(key, cos) for cos, key in near])


@dataclass(frozen=True, slots=True)
class Lyrics:
    """Keys of songs by both, and by meaning with their cosines, best first."""

    hybrid: list[str]
    near: list[tuple[str, float]]

    def meaning(self, floor: float = -1.0) -> list[str]:
        """Those by meaning that are not below a floor."""
        return [key for key, cosine in self.near if cosine >= floor]


@contextmanager
def corpus(env: Mapping[str, str], root: Path) -> Iterator[Corpus]:
    """The songs of the files below ``root`` in the indexes of the variables ``env``."""
    pg = PostgresResource(url=env["POSTGRES_URL"])
    openai = OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
    )
    SilverWorld(pg.url).load(*_records(root), batch=_BATCH)
    with psycopg.connect(pg.url) as connection:
        replace(connection, TARGETS["song_details"], _BATCH)
        connection.commit()
        songs = [
            Named(key, title, artists, text, frozenset(stems or ()))
            for key, title, artists, text, stems in connection.execute(_NAMES)
        ]
    pages = TouchedPages(pg, _BATCH)
    milvus = MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"])
    with (
        TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"]).client() as t,
        closing(milvus.client()) as m,
        openai.client() as client,
    ):
        documents = song_documents.store(t, env["MUSIC_TYPESENSE_COLLECTION"])
        space = Space(openai.embedding_model)
        lyrics = lyrics_vectors.store(m, env["MUSIC_MILVUS_LYRICS"], space)
        song_documents.write(pages, documents, pg)
        lyrics_vectors.write(pages, lyrics, pg, openai)
        yield Corpus(songs, documents, lyrics, client)


def _records(root: Path) -> list[Record]:
    """The records of all files; of equal keys the last, as validation decides."""
    frames = [
        chunk.with_columns(pl.lit(seq, pl.Int64).alias("seq"))
        for seq, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file()), 1)
        for chunk in _read(path, root)
    ]
    rows = pl.concat(frames)
    bags = rows["format"] == "musixmatch"
    known = rows["track_id"].is_in(rows.filter(~bags)["track_id"].drop_nulls().implode())
    taken = rows.filter(~bags | known).unique("record_key", keep="last", maintain_order=True)
    return taken.to_dicts()


def _read(path: Path, root: Path) -> Iterator[pl.DataFrame]:
    key = str(path.relative_to(root))
    version = ObjectVersion("minio", "raw", key, "1", 1, datetime(2026, 1, 1, tzinfo=UTC))
    with path.open("rb") as stream:
        try:
            for chunk in read_records(stream, version):
                yield chunk.accepted
        except UnreadableObject:
            return  # none of songs: landing refuses it
