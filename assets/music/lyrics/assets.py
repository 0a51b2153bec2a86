"""The asset ``song_lyrics``: decorator and resources over ``enrichment.py``.

Belongs here: what the asset is called, needs and shows. Does not: whom it asks for what.
"""

from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import RETRY, StepEvents, sink_events
from assets.music import tables
from assets.music.pipeline import BATCHES, OWNERS, PIPELINE, WRITER, asset_key
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.lyrics_service import LyricsServiceResource
from resources.minio import MinioResource
from resources.musicbrainz import MusicBrainzResource
from resources.postgres import PostgresResource

_TABLE = "song_lyrics"


@dg.asset(
    key=asset_key("song_lyrics"),
    deps=[asset_key("silver_songs")],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"postgres", "silver"},
    retry_policy=RETRY,
    op_tags=WRITER,
    pool="music_postgres",
    metadata={
        "dagster/column_schema": tables.schema(_TABLE),
        "dagster/table_name": tables.table(_TABLE).qualified,
    },
    check_specs=[
        dg.AssetCheckSpec(
            HOLDS_BATCH,
            asset=asset_key("song_lyrics"),
            description="Every song that the batch touched has lyrics, has none, or is due.",
        )
    ],
)
def song_lyrics(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    lyrics_service: LyricsServiceResource,
    musicbrainz: MusicBrainzResource,
) -> StepEvents:
    """Lyrics of songs and genres of artists that no file brought, asked of two services."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.lyrics.enrichment import Services, enrich_batch

        result, found = enrich_batch(
            delivery.batch_id, Services(postgres, lyrics_service, musicbrainz)
        )
        _log(context, result.details)
        return result, found

    with minio_bucket(minio, music.processed_bucket) as store:
        yield from sink_events(
            context,
            postgres,
            store,
            take,
            metadata=lambda: {"dagster/column_lineage": tables.lineage(_TABLE)},
        )


def _log(context: dg.AssetExecutionContext, details: Any) -> None:
    """One event with the counts; a warning when a service left something unanswered."""
    failed = details["lyrics_failed"] + details["genres_failed"]
    level = context.log.warning if failed else context.log.info
    level("enriched %s", " ".join(f"{name}={value}" for name, value in details.items()))
