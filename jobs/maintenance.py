"""The daily clean-up of what landing keeps only for a time.

Belongs here: the job, its schedule, Dagster's partitions. Does not: what is due
(``landing.batch.retention``).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.campaigns import pipeline as campaigns_pipeline
from assets.campaigns.settings import CampaignsSettings
from assets.frame.buckets import gcs_bucket
from assets.music import pipeline as music_pipeline
from assets.reading import pipeline as reading_pipeline
from assets.reading.settings import ReadingSettings
from jobs.executor import guarded_executor
from landing.batch import retention
from resources.gcs import GcsResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


#: The dynamic partitions of every pipeline of batches.
PARTITIONS = {
    campaigns_pipeline.PIPELINE: campaigns_pipeline.BATCHES,
    music_pipeline.PIPELINE: music_pipeline.BATCHES,
    reading_pipeline.PIPELINE: reading_pipeline.BATCHES,
}


@dg.op(description="Removes loaded batches' partitions after 90 days.")
def remove_partitions(context: dg.OpExecutionContext, postgres: PostgresResource) -> None:
    """The ledger keeps every batch; `make replay` brings a partition back."""
    now = datetime.now(UTC)
    with postgres.connect(autocommit=True) as connection:
        removed = sum(
            _remove_partitions(context.instance, connection, pipeline, now)
            for pipeline in PARTITIONS
        )
    context.add_output_metadata({"partitions_removed": removed})


@dg.op(description="Removes the staging of loaded batches after 7 days. That of music is bronze.")
def remove_campaigns_staging(
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
) -> None:
    """A backfill validates again."""
    _remove_staging(context, postgres, gcs, campaigns.bucket, campaigns_pipeline.PIPELINE)


@dg.op(description="Removes the staging of loaded history batches after 7 days.")
def remove_reading_staging(
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    reading: ReadingSettings,
) -> None:
    """A backfill validates again."""
    _remove_staging(context, postgres, gcs, reading.bucket, reading_pipeline.PIPELINE)


def _remove_staging(
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    bucket: str,
    pipeline: str,
) -> None:
    with (
        gcs_bucket(gcs, bucket) as store,
        postgres.connect(autocommit=True) as connection,
    ):
        removed = retention.remove_staging(connection, store, pipeline, datetime.now(UTC))
    context.add_output_metadata(
        {"staged_parts_removed": removed.parts, "staged_bytes_removed": removed.bytes}
    )


def _remove_partitions(
    instance: dg.DagsterInstance, connection: "Connection", pipeline: str, now: datetime
) -> int:
    due = retention.due_partitions(connection, pipeline, now)
    for batch_id in due:
        instance.delete_dynamic_partition(PARTITIONS[pipeline].name or "", batch_id)
        retention.mark_partition(connection, batch_id, now)
    return len(due)


def maintenance_job(pipelines: Sequence[str]) -> dg.JobDefinition:
    """The job for these pipelines; the others' stores need not be there."""

    @dg.job(
        name="maintenance",
        executor_def=guarded_executor,
        description="Lets go of old partitions and of staging that every sink has read.",
    )
    def maintenance() -> None:
        remove_partitions()
        if campaigns_pipeline.PIPELINE in pipelines:
            remove_campaigns_staging()
        if reading_pipeline.PIPELINE in pipelines:
            remove_reading_staging()

    return maintenance


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_daily",
    job_name="maintenance",
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
