"""One test's collection of lyrics, and what must be there of its songs.

Belongs here: what tests of writing, of searching and of similar songs share. Does not: any test.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import psycopg

from assets.embeddings import Space
from assets.music.answers import search_lyrics, similar_songs
from assets.music.search import lyrics_vectors
from assets.music.search.floors import NO_FLOOR
from assets.music.search.song_rows import TouchedPages
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from tests.integration.music.search_world import ODD_KEYS, Song, World

VERSE = "\n".join(["and so the river runs to sea again"] * 8)
LONG = "\n\n".join(f"verse {number}\n{VERSE}" for number in range(7))


class Index:
    def __init__(self, env, client):
        self.client, self.name = client, env["MUSIC_MILVUS_LYRICS"]
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.openai = OpenAIResource(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            embedding_model=env["OPENAI_EMBEDDING_MODEL"],
        )
        self.world = World(env["POSTGRES_URL"])
        self.store = lyrics_vectors.store(client, self.name, Space(self.openai.embedding_model))

    def pages(self, batch, rows=1_000):
        return TouchedPages(self.pg, batch, rows)

    def write(self, batch, rows=1_000, refuse=None):
        pages = self.pages(batch, rows)
        return lyrics_vectors.write(pages, self.store, self.pg, self.openai, refuse)

    def verify(self, batch, refused=()):
        return lyrics_vectors.verify(self.pages(batch), self.store, self.pg, refused)

    def rows(self):
        rows = self.client.query(
            self.name,
            filter="",
            limit=5_000,
            output_fields=["chunk_id", "song_key", "passage", "kind", "row_hash", "text", "vector"],
            consistency_level="Strong",
        )
        return {row["chunk_id"]: row for row in rows}

    def embedding(self, texts):
        """Asked of the API directly."""
        with self.openai.client() as client:
            answer = client.embeddings.create(
                model=self.openai.embedding_model, input=texts, dimensions=1024
            )
        return [np.array(item.embedding) for item in answer.data]

    def assert_holds_the_world(self):
        """Every song's lyrics, in order and without a gap, and the vector of every passage."""
        rows = self.rows()
        for song in self.world.songs.values():
            own = [row for row in rows.values() if row["song_key"] == song.key]
            own.sort(key=lambda row: row["passage"])
            assert [row["chunk_id"] for row in own] == [f"{song.key}#{n}" for n in range(len(own))]
            assert {row["kind"] for row in own} <= {"text" if song.text else "words"}
            held = " ".join(row["text"] for row in own)
            assert held.split() == (song.lyrics or "").split()
            assert len({row["row_hash"] for row in own}) <= 1
        assert {row["song_key"] for row in rows.values()} == {
            song.key for song in self.world.songs.values() if song.lyrics
        }
        if rows:
            vectors = self.embedding([row["text"] for row in rows.values()])
            for row, vector in zip(rows.values(), vectors, strict=True):
                np.testing.assert_allclose(row["vector"], vector, atol=1e-6)
        assert lyrics_vectors.songs(self.client, self.name) == len(
            {row["song_key"] for row in rows.values()}
        )

    def search(self, term, limit=10, floor=NO_FLOOR):
        """Without a floor all songs have a rank; None is that of the model."""
        with self.openai.client() as client:
            return search_lyrics(self.store, client, term, limit, floor=floor)

    def similar(self, key, k=10, by="lyrics"):
        with psycopg.connect(self.pg.url) as connection:
            return [
                (s.song_key, s.value) for s in similar_songs(connection, self.store, key, k, by)
            ]


@contextmanager
def opened(env: dict[str, str]) -> Iterator[Index]:
    client = MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"]).client()
    try:
        yield Index(env, client)
    finally:
        client.close()


def small():
    return [
        Song("SOLONG", text=LONG),
        Song("SOSHORT", text="one line only"),
        Song("SONONE", title="No lyrics"),
        Song("SOBAG", words=(("sea", 2), ("river", 5), ("run", 2))),
        *(Song(key, text=f"the song of {key}") for key in ODD_KEYS),
    ]
