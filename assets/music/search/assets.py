"""The search indexes as assets: decorators and resources over one module each.

Belongs here: what each index is called, needs and shows. Does not: how it is written
(``typesense_songs.py``, ``milvus_lyrics.py``).
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import RETRY, StepEvents, sink_events
from assets.music.pipeline import BATCHES, OWNERS, PIPELINE, WRITER, asset_key
from assets.music.search import columns
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.milvus import MilvusResource
from resources.minio import MinioResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource


def _index(
    name: str, *, kinds: set[str], pool: str, schema: dg.TableSchema
) -> Callable[[Callable[..., StepEvents]], dg.AssetsDefinition]:
    """An index of the songs as gold says they are."""
    return dg.asset(
        key=asset_key(name),
        deps=[columns.DETAILS_KEY],
        partitions_def=BATCHES,
        group_name=PIPELINE,
        owners=OWNERS,
        kinds=kinds,
        retry_policy=RETRY,
        op_tags=WRITER,
        pool=pool,
        metadata={"dagster/column_schema": schema},
        check_specs=[
            dg.AssetCheckSpec(
                HOLDS_BATCH,
                asset=asset_key(name),
                description="Every song that the batch touched, read back with the same content"
                " hash, or gone where the song is.",
            )
        ],
    )


def _deliver(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    take: Callable[[Delivery], tuple[SinkResult, Verification]],
    metadata: Callable[[], Mapping[str, Any]],
) -> StepEvents:
    """Give the index of the asset that runs its batch."""
    with minio_bucket(minio, music.processed_bucket) as store:
        yield from sink_events(context, postgres, store, take, metadata=metadata)


@_index("song_search", kinds={"typesense"}, pool="music_typesense", schema=columns.SONGS_SCHEMA)
def song_search(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    typesense: TypesenseResource,
) -> StepEvents:
    """One Typesense document per song: titles, artists and lyrics, facets by genre and year."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.search.song_rows import TouchedPages
        from assets.music.search.typesense_songs import verify, write

        pages = TouchedPages(postgres, delivery.batch_id)
        with typesense.client() as client:
            return (
                write(pages, client, music.typesense_collection, postgres),
                verify(pages, client, music.typesense_collection, postgres),
            )

    yield from _deliver(
        context,
        postgres,
        minio,
        music,
        take,
        lambda: {
            "dagster/table_name": music.typesense_collection,
            "dagster/column_lineage": columns.SONGS_LINEAGE,
        },
    )


@_index(
    "lyrics_vectors",
    kinds={"milvus", "openai"},
    pool="music_milvus",
    schema=columns.PASSAGES_SCHEMA,
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
        from assets.music.search.milvus_lyrics import store as collection_of
        from assets.music.search.milvus_lyrics import verify, write
        from assets.music.search.song_rows import TouchedPages

        pages = TouchedPages(postgres, delivery.batch_id)
        with closing(milvus.client()) as client:
            space = Space(openai.embedding_model)
            collection = collection_of(client, music.milvus_lyrics, space)
            return write(pages, collection, postgres, openai), verify(pages, collection, postgres)

    yield from _deliver(
        context,
        postgres,
        minio,
        music,
        take,
        lambda: {
            "dagster/table_name": music.milvus_lyrics,
            "model": openai.embedding_model,
            "dagster/column_lineage": columns.PASSAGES_LINEAGE,
        },
    )
