"""The gold assets: decorators and resources over one replacement per table.

Belongs here: what each is called, needs and shows. Does not: how a table is replaced
(``replacement.py``), its SQL (``targets.py``).
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import RETRY, StepEvents, sink_events
from assets.music import tables
from assets.music.gold.replacement import Replaced
from assets.music.pipeline import BATCHES, OWNERS, PIPELINE, WRITER, asset_key
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource


def _gold(name: str) -> Callable[[Callable[..., StepEvents]], dg.AssetsDefinition]:
    """A gold table's asset: it follows silver and the lyrics, and nothing else."""
    return dg.asset(
        key=asset_key(name),
        deps=[asset_key("silver_songs"), asset_key("song_lyrics")],
        partitions_def=BATCHES,
        group_name=PIPELINE,
        owners=OWNERS,
        kinds={"postgres", "gold"},
        retry_policy=RETRY,
        op_tags=WRITER,
        pool="music_postgres",
        metadata={"dagster/column_schema": tables.schema(name)},
        check_specs=[
            dg.AssetCheckSpec(
                HOLDS_BATCH,
                asset=asset_key(name),
                description="What the batch touched, recounted from silver by another query.",
            )
        ],
    )


def _follow_silver(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Replace the table of the asset that runs, and say how."""
    name = context.asset_key.path[-1]
    done: list[Replaced] = []

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.gold.replacement import recount, replace
        from assets.music.gold.targets import TARGETS

        with postgres.connect() as conn:
            replaced = replace(conn, TARGETS[name], delivery.batch_id)
            found = recount(conn, TARGETS[name])
            if found.ok:
                delivery.done_in(conn, rows_written=replaced.computed)
            else:
                conn.rollback()
        done.append(replaced)
        return replaced.result, found

    def metadata() -> Mapping[str, Any]:
        from assets.music.gold.previews import metadata as shown

        if not done:
            return {}
        with postgres.connect() as conn:
            return shown(conn, name, done[0])

    with minio_bucket(minio, music.processed_bucket) as store:
        yield from sink_events(context, postgres, store, take, metadata=metadata)


@_gold("gold_song_details")
def gold_song_details(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """One row per song, with names instead of keys, and how its lyrics stand."""
    yield from _follow_silver(context, postgres, minio, music)


@_gold("gold_artist_performance")
def gold_artist_performance(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Per artist: songs, mean tempo and loudness of those that have one, total duration."""
    yield from _follow_silver(context, postgres, minio, music)


@_gold("gold_album_performance")
def gold_album_performance(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Per album: artists, songs, mean duration."""
    yield from _follow_silver(context, postgres, minio, music)


@_gold("gold_genre_by_year")
def gold_genre_by_year(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Per genre and release year: songs, mean tempo and loudness; replaced as a whole."""
    yield from _follow_silver(context, postgres, minio, music)


@_gold("gold_tempo_key_profile")
def gold_tempo_key_profile(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Songs by key, mode and bin of 10 beats per minute; replaced as a whole."""
    yield from _follow_silver(context, postgres, minio, music)
