"""What a process does that writes one index and kills itself between two batches of it."""

from __future__ import annotations

import os
import signal
from typing import Any

from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource


def _die_after(calls: int, module: Any, *names: str) -> None:
    """Instead of the call after ``calls`` of any of the functions."""
    made = 0

    def counted(original: Any) -> Any:
        def call(*args: Any) -> Any:
            nonlocal made
            if made == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            return original(*args)

        return call

    for name in names:
        setattr(module, name, counted(getattr(module, name)))


def main(sink: str, batch: str, writes: int) -> None:
    """``sink`` is songs or lyrics, ``writes`` how many writing calls it survives."""
    from assets.embeddings import Space
    from assets.music.search import lyrics_vectors, song_documents
    from assets.music.search.song_rows import TouchedPages
    from assets.sinks.milvus import VectorStore
    from assets.sinks.typesense import DocumentStore

    env = os.environ
    pg = PostgresResource(url=env["POSTGRES_URL"])
    pages = TouchedPages(pg, batch, 2)
    if sink == "songs":
        _die_after(writes, DocumentStore, "upsert", "delete")
        resource = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
        with resource.client() as client:
            store = song_documents.store(client, env["MUSIC_TYPESENSE_COLLECTION"])
            song_documents.write(pages, store, pg)
        return
    _die_after(writes, VectorStore, "upsert", "delete")
    openai = OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
    )
    client = MilvusResource(uri=env["MILVUS_URI"]).client()
    space = Space(openai.embedding_model)
    collection = lyrics_vectors.store(client, env["MUSIC_MILVUS_LYRICS"], space)
    lyrics_vectors.write(pages, collection, pg, openai)
