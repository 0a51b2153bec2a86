"""The jobs of the music pipeline: one run per landing batch, and the sweep of the raw bucket.

Belongs here: selection, tags and config. Does not: which batches run when (``sensors``).
"""

import time

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.music.assets import RAW_POOL
from assets.music.checks import AUDITS
from assets.music.pipeline import LANDING_KEY, PIPELINE
from assets.music.settings import MusicSettings
from jobs.executor import WRITER_TAG, guarded_executor
from resources.minio import MinioResource
from resources.postgres import PostgresResource

#: Seconds after which a sweep begins no further page: the next one goes on.
SWEEP_SECONDS = 600.0

music_job = dg.define_asset_job(
    name=PIPELINE,
    description="Reads one batch of landed music files into bronze, silver, gold and search.",
    selection=(
        dg.AssetSelection.groups(PIPELINE)
        - dg.AssetSelection.assets(LANDING_KEY)
        - dg.AssetSelection.checks(*AUDITS)
    ),
    executor_def=guarded_executor,
    # The ledger owns a batch's attempts: a retry by Dagster on top would run it twice.
    tags={WRITER_TAG: PIPELINE, "dagster/max_retries": "0", "dagster/max_runtime": "21600"},
)


@dg.op(
    pool=RAW_POOL,
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
    from assets.music.raw_removals import remove_archived
    from assets.music.reports import removal_metadata

    if not music.removes_raw:
        context.add_output_metadata({"removed": 0, "raw_remove": music.raw_remove})
        return
    with (
        minio_bucket(minio, music.raw_bucket) as raw,
        minio_bucket(minio, music.processed_bucket) as processed,
    ):
        removals = remove_archived(
            postgres,
            raw,
            processed,
            batch_id=None,
            log=context.log,
            deadline=time.monotonic() + SWEEP_SECONDS,
        )
    context.add_output_metadata(removal_metadata(removals))


@dg.job(
    name="music_raw_sweep",
    executor_def=guarded_executor,
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
