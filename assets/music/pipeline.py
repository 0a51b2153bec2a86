"""The music pipeline, declared: files of songs to a star schema, aggregates and search.

Belongs here: the declaration, its first and its last step, and what the code location gets. Does
not: silver, lyrics, gold and search (``assets.py`` of each), and how anything is done.
"""

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.checks import validation_results
from assets.frame.declared import LandedFiles, Pipeline, batches
from assets.frame.reports import validation_metadata
from assets.frame.step import StepEvents, batch_step, followed
from assets.music.bronze.copies import copy_key
from assets.music.registry import gold
from assets.music.registry.bronze import STAGED
from assets.music.settings import MusicSettings
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from landing.batch.validation import Rules

#: Seconds after which a sweep of the raw bucket begins no further page: the next one goes on.
SWEEP_SECONDS = 600.0

GOLD = tuple(table.name for table in gold.TABLES)


def _rules() -> "Rules":
    from assets.music.bronze.validation import rules

    return rules()


MUSIC = LandedFiles(
    pipeline="music",
    job="music",
    writer="music",
    owners=("team:music-data",),
    partitions=batches("music"),
    store="minio",
    # The format is found from the content.
    pattern=".*",
    settings=MusicSettings,
    landing="raw_landing",
    description="Files of songs in the raw bucket, of any format and at any depth.",
    validation="bronze_records",
    sinks=("silver_songs", "song_lyrics", "fact_play", *GOLD, "song_search", "lyrics_vectors"),
    # Runs with every batch, after silver, and is made up for by a sweep: the ledger does not wait.
    derived=("raw_removals",),
    rules=_rules,
    staged=STAGED.column_schema(),
    preview=("record_key", "title", "artist_name", "album", "year", "genre", "tempo", "source"),
    # Most steps follow each other; only what is searched is written side by side, and a file of
    # HDF5 has a thousand times the bytes of a row.
    limits={"large_bytes": 64 * 1024 * 1024},
    keeps_staging=True,
    copy_key=copy_key,
)


@dg.asset(**MUSIC.validates())
def bronze_records(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> StepEvents:
    """Records of one batch of files: winners as Parquet, kept for good, and rejects in quarantine.

    Files that were readable are copied to the processed bucket; the others stay where they are.
    """
    from assets.music.bronze.validation import validate_batch

    formats: Counter[str] = Counter()
    with (
        batch_step(MUSIC, context, postgres, "validation") as batch_id,
        minio_bucket(minio, music.raw_bucket) as raw,
        minio_bucket(minio, music.processed_bucket) as processed,
        minio_bucket(minio, music.quarantine_bucket) as quarantine,
    ):
        result = validate_batch(
            postgres,
            raw,
            processed,
            quarantine,
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
            formats=formats,
            access=minio.access,
        )
        yield from validation_results(postgres, batch_id)
        metadata = validation_metadata(MUSIC, result)
        metadata |= {f"rows_{name}": count for name, count in sorted(formats.items())}
        if result.parts:
            folder = result.parts[0].key.rpartition("/")[0]
            metadata["staged"] = MUSIC.uri(music.processed_bucket, f"{folder}/")
        yield dg.MaterializeResult(metadata=metadata)


@dg.asset(
    **MUSIC.step(
        "raw_removals",
        group="landing",
        deps=["silver_songs"],
        kinds={"minio"},
        pool="music_minio",
    )
)
def raw_removals(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> dg.MaterializeResult[Any]:
    """The batch's files leave the raw bucket: they are copied, and silver has committed them.

    Files whose content was known already go too. `RAW_REMOVE=never` keeps them all. Where the
    bucket keeps no versions, a rewrite within one round trip of the deletion goes with it.
    """
    own, *beside = followed(MUSIC, context, postgres)
    metadata = _remove(postgres, minio, music, context, batch_id=own)
    for batch_id in beside:
        removed = _remove(postgres, minio, music, context, batch_id=batch_id)
        context.log_event(
            dg.AssetMaterialization(context.asset_key, partition=batch_id, metadata=removed)
        )
    return dg.MaterializeResult(metadata=metadata)


@dg.op(
    pool="music_minio",
    description="Removes archived files that are still in the raw bucket, of every batch that is "
    "in silver: leftovers of runs that were killed or of a time with RAW_REMOVE=never.",
)
def sweep_raw(
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
) -> None:
    """Oldest first, for at most SWEEP_SECONDS."""
    deadline = time.monotonic() + SWEEP_SECONDS
    context.add_output_metadata(_remove(postgres, minio, music, context, deadline=deadline))


def _remove(
    postgres: PostgresResource,
    minio: MinioResource,
    music: MusicSettings,
    context: dg.AssetExecutionContext | dg.OpExecutionContext,
    *,
    batch_id: str | None = None,
    deadline: float | None = None,
) -> dict[str, Any]:
    from assets.music.bronze.raw_removals import remove_archived

    if not music.removes_raw:
        return {"removed": 0, "raw_remove": music.raw_remove}
    with (
        minio_bucket(minio, music.raw_bucket) as raw,
        minio_bucket(minio, music.processed_bucket) as processed,
    ):
        removals = remove_archived(
            postgres, raw, processed, batch_id=batch_id, log=context.log, deadline=deadline
        )
    return removals.figures()


@dg.job(
    name="music_raw_sweep",
    description="Empties the raw bucket of what the runs of batches left in it.",
)
def music_raw_sweep_job() -> None:
    """One op, so that a failure names what failed."""
    sweep_raw()


music_raw_sweep_schedule = dg.ScheduleDefinition(
    name="music_raw_sweep_every_15_minutes",
    job=music_raw_sweep_job,
    cron_schedule="*/15 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _definitions() -> dg.Definitions:
    from assets.music import checks
    from assets.music.gold import assets as gold_tables
    from assets.music.lyrics import assets as lyrics
    from assets.music.lyrics.retry_job import music_lyrics_retry_job, music_lyrics_retry_schedule
    from assets.music.plays import assets as plays
    from assets.music.plays import checks as plays_checks
    from assets.music.search import assets as search
    from assets.music.silver import assets as silver

    layers = dg.load_assets_from_modules([silver, lyrics, plays, gold_tables, search])
    return dg.Definitions(
        assets=[bronze_records, raw_removals, *layers],
        asset_checks=dg.load_asset_checks_from_modules([checks, plays_checks]),
        jobs=[music_raw_sweep_job, music_lyrics_retry_job],
        schedules=[music_raw_sweep_schedule, music_lyrics_retry_schedule],
    )


PIPELINE = Pipeline(
    name="music",
    settings=MusicSettings,
    landed=(MUSIC,),
    definitions=_definitions,
    requires=(
        "POSTGRES_URL",
        "MINIO_ENDPOINT",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "TYPESENSE_URL",
        "TYPESENSE_API_KEY",
        "MILVUS_URI",
        "OPENAI_API_KEY",
    ),
    servers=("postgres", "s3", "milvus", "openai", "typesense", "music_services"),
    audit_minute=40,
)
