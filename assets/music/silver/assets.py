"""The silver asset: decorator and resources over the load.

Belongs here: what it is called, needs and shows. Does not: how a batch is loaded (``load.py``).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import RETRY, StepEvents, sink_events
from assets.music import tables
from assets.music.pipeline import BATCHES, OWNERS, PIPELINE, WRITER, asset_key
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource

NAME = "silver_songs"


@dg.asset(
    key=asset_key(NAME),
    deps=[asset_key("bronze_records")],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"postgres", "silver"},
    retry_policy=RETRY,
    op_tags=WRITER,
    pool="music_postgres",
    metadata={"dagster/column_schema": tables.schema("fact_song")},
    check_specs=[
        dg.AssetCheckSpec(
            HOLDS_BATCH,
            asset=asset_key(NAME),
            description="Every current record of the batch is in song_source with the same hash, "
            "every song of theirs is whole, and songs without a record are gone; read back before "
            "the commit.",
        )
    ],
)
def silver_songs(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """The star schema: one row per song, its fields from the best of its records."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.silver.load import load_batch

        with postgres.connect() as connection:
            return load_batch(connection, delivery)

    def metadata() -> Mapping[str, Any]:
        from assets.music.silver.reports import shown

        with postgres.connect() as connection:
            return shown(connection, context.partition_key)

    with minio_bucket(minio, music.processed_bucket) as store:
        yield from sink_events(context, postgres, store, take, metadata=metadata)
