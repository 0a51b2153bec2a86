"""The search indexes as assets: decorators and resources over one module each.

Belongs here: what each index is called, needs and shows. Does not: how it is written
(``song_documents.py``, ``lyrics_vectors.py``).
"""

from contextlib import closing

import dagster as dg

from assets.frame.step import StepEvents, sink_events
from assets.music.pipeline import MUSIC
from assets.music.registry.search import PASSAGES, SONGS
from assets.music.settings import MusicSettings
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.milvus import MilvusResource
from resources.minio import MinioResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

#: An index of the songs as gold says they are.
_HOLDS = (
    "Every song that the batch touched, read back with the same content hash, or gone where the "
    "song is."
)


@dg.asset(
    **MUSIC.sink(
        "song_search",
        group="search",
        deps=["song_details"],
        holds=_HOLDS,
        kinds={"typesense"},
        pool="typesense",
        schema=SONGS.column_schema(),
    )
)
def song_search(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    typesense: TypesenseResource,
) -> StepEvents:
    """One Typesense document per song: titles, artists and lyrics, facets by genre and year."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.search.song_documents import store, verify, write
        from assets.music.search.song_rows import TouchedPages, refusing

        pages = TouchedPages(postgres, delivery.batch_id)
        with typesense.client() as client:
            documents = store(client, music.typesense_collection)
            return (
                write(pages, documents, postgres, refusing(postgres, delivery)),
                verify(pages, documents, postgres, delivery.refuse.words),
            )

    yield from sink_events(
        MUSIC,
        context,
        postgres,
        minio,
        take,
        metadata=lambda: {
            "dagster/table_name": music.typesense_collection,
            "dagster/column_lineage": SONGS.column_lineage(),
        },
    )


@dg.asset(
    **MUSIC.sink(
        "lyrics_vectors",
        group="search",
        deps=["song_details"],
        holds=_HOLDS,
        kinds={"milvus", "openai"},
        pool="milvus",
        schema=PASSAGES.column_schema(),
        code_version="1",
    )
)
def lyrics_vectors(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    milvus: MilvusResource,
    openai: OpenAIResource,
) -> StepEvents:
    """Passages of lyrics, searched by meaning (1,024 numbers each) and by their words (BM25)."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.embeddings import Space
        from assets.music.search.lyrics_vectors import store, verify, write
        from assets.music.search.song_rows import TouchedPages, refusing

        pages = TouchedPages(postgres, delivery.batch_id)
        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = store(client, music.milvus_lyrics, space, milvus.index)
            refuse = refusing(postgres, delivery, lyrics=True)
            return (
                write(pages, collection, postgres, openai, refuse),
                verify(pages, collection, postgres, delivery.refuse.words),
            )

    yield from sink_events(
        MUSIC,
        context,
        postgres,
        minio,
        take,
        metadata=lambda: {
            "dagster/table_name": music.milvus_lyrics,
            "model": openai.embedding_model,
            "dagster/column_lineage": PASSAGES.column_lineage(),
        },
    )
