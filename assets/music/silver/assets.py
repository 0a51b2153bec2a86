"""The silver asset: decorator and resources over the load.

Belongs here: what it is called, needs and shows. Does not: how a batch is loaded (``load.py``).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.frame.step import StepEvents, derived_from, sink_events
from assets.music.pipeline import MUSIC
from assets.music.registry.silver import FACT_SONG
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource


@dg.asset(
    **MUSIC.sink(
        "silver_songs",
        group="silver",
        kinds={"postgres", "silver"},
        pool="postgres",
        schema=FACT_SONG.column_schema(),
        holds="Every current record of the batch is in song_source with the same hash, every song "
        "of theirs is whole, and songs without a record are gone; read back before the commit.",
    )
)
def silver_songs(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
) -> StepEvents:
    """The star schema: one row per song, its fields from the best of its records."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.silver.load import load_batch

        with postgres.connect() as connection:
            return load_batch(connection, delivery)

    def metadata() -> Mapping[str, Any]:
        from assets.music.silver.reports import shown

        with postgres.connect() as connection:
            return shown(connection, derived_from(MUSIC, context, postgres))

    yield from sink_events(MUSIC, context, postgres, minio, take, metadata=metadata)
