"""The asset of plays: decorator and resources over the load.

Belongs here: what it is called, needs and shows. Does not: how a batch is loaded (``load.py``).
"""

from typing import TYPE_CHECKING

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import StepEvents, sink_events
from assets.music.pipeline import MUSIC
from assets.music.registry.plays import FACT_PLAY
from assets.music.settings import MusicSettings
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dg.asset(
    **MUSIC.sink(
        "fact_play",
        group="silver",
        kinds={"postgres", "silver"},
        pool="postgres",
        schema=FACT_PLAY.column_schema(),
        code_version="1",
        holds="Every file of plays of the batch has as many rows as bronze counted pairs, those of "
        "earlier versions are gone.",
    )
)
def fact_play(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Who played which song how often: the newest version of each file, read from its copy."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.bronze.archive import Archive
        from assets.music.bronze.copies import copies_in
        from assets.music.plays.load import load_batch

        with (
            minio_bucket(minio, music.raw_bucket) as raw,
            minio_bucket(minio, music.processed_bucket) as processed,
            postgres.connect() as connection,
        ):
            archive = Archive(raw, processed, copies_in(postgres, raw.bucket))
            return load_batch(connection, delivery, archive.open)

    def metadata() -> "Mapping[str, Any]":
        return {
            "dagster/table_name": FACT_PLAY.qualified,
            "dagster/column_lineage": FACT_PLAY.column_lineage(),
        }

    yield from sink_events(MUSIC, context, postgres, minio, take, metadata=metadata)
