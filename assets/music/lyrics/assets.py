"""The asset ``song_lyrics``: decorator and resources over ``enrichment.py``.

Belongs here: what the asset is called, needs and shows. Does not: whom it asks for what.
"""

from typing import Any

import dagster as dg

from assets.frame.step import StepEvents, sink_events
from assets.music.pipeline import MUSIC
from assets.music.registry.lyrics import SONG_LYRICS
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.lyrics_service import LyricsServiceResource
from resources.minio import MinioResource
from resources.musicbrainz import MusicBrainzResource
from resources.postgres import PostgresResource


@dg.asset(
    **MUSIC.sink(
        "song_lyrics",
        group="silver",
        deps=["silver_songs"],
        kinds={"postgres", "silver"},
        pool="postgres",
        schema=SONG_LYRICS.column_schema(),
        holds="Every song that the batch touched has lyrics, has none, or is due.",
    )
)
def song_lyrics(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
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

    yield from sink_events(
        MUSIC,
        context,
        postgres,
        minio,
        take,
        metadata=lambda: {
            "dagster/table_name": SONG_LYRICS.qualified,
            "dagster/column_lineage": SONG_LYRICS.column_lineage(),
        },
    )


def _log(context: dg.AssetExecutionContext, details: Any) -> None:
    """One event with the counts; a warning when a service left something unanswered."""
    failed = details["lyrics_failed"] + details["genres_failed"]
    level = context.log.warning if failed else context.log.info
    level("enriched %s", " ".join(f"{name}={value}" for name, value in details.items()))
