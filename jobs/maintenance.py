"""The daily clean-up of what landing keeps only for a time.

Belongs here: the job, its schedule, Dagster's partitions. Does not: what is due
(``landing.batch.retention``).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import outbox
from assets.frame.buckets import StoreResource, opened
from assets.frame.declared import LandedFiles
from landing.arrival.identity import StoreKind
from landing.batch import retention
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


def maintenance_job(landed: Sequence[LandedFiles]) -> dg.JobDefinition:
    """The job for these pipelines; the others' stores need not be there."""
    dynamic = [files for files in landed if files.partition_set]
    staged = [_removes_staging(files) for files in landed if not files.keeps_staging]

    @dg.op(
        description="Removes loaded batches' partitions after 90 days, or beyond the newest "
        f"{retention.MOST_PARTITIONS:,} of a source, and those at once that the ledger does not "
        "know: they were added by hand, and no run of theirs can succeed."
    )
    def remove_partitions(context: dg.OpExecutionContext, postgres: PostgresResource) -> None:
        """The ledger keeps every batch; `make replay` brings a partition back."""
        now = datetime.now(UTC)
        with postgres.connect(autocommit=True) as connection:
            removed = [
                _remove_partitions(context.instance, connection, one, now) for one in dynamic
            ]
        context.add_output_metadata(
            {
                "partitions_removed": sum(old for old, _ in removed),
                "unknown_partitions_removed": sum(unknown for _, unknown in removed),
            }
        )

    @dg.op(description="Removes alerts of 90 days ago that were told, or given up.")
    def remove_told_alerts(context: dg.OpExecutionContext, postgres: PostgresResource) -> None:
        with postgres.connect() as connection:
            removed = outbox.forget(connection, datetime.now(UTC))
        context.add_output_metadata({"alerts_removed": removed})

    @dg.job(
        name="maintenance",
        description="Lets go of old partitions, of staging that every sink has read, and of alerts "
        "that were told.",
    )
    def maintenance() -> None:
        remove_partitions()
        remove_told_alerts()
        for remove in staged:
            remove()

    return maintenance


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_daily",
    job_name="maintenance",
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)


def _remove_partitions(
    instance: dg.DagsterInstance, connection: "Connection", files: LandedFiles, now: datetime
) -> tuple[int, int]:
    """How many old ones were removed, and how many that the ledger does not know."""
    name = files.partition_set or ""
    due = retention.due_partitions(connection, files.source_name, now)
    for partition, batch_ids in due.items():
        instance.delete_dynamic_partition(name, partition)
        for batch_id in batch_ids:
            retention.mark_partition(connection, batch_id, now)
    # The ledger is written before Dagster hears of a batch: what it does not know never landed.
    known = instance.get_dynamic_partitions(name)
    unknown = retention.unknown_partitions(connection, files.source_name, known)
    for partition in unknown:
        instance.delete_dynamic_partition(name, partition)
    return len(due), len(unknown)


def _removes_staging(files: LandedFiles) -> dg.OpDefinition:
    """The op that removes what nothing needs of the staging of this pipeline's loaded batches."""

    def remove(
        context: dg.OpExecutionContext, postgres: PostgresResource, resource: StoreResource
    ) -> None:
        with (
            opened(resource, files.places().staging_bucket) as store,
            postgres.connect(autocommit=True) as connection,
        ):
            removed = retention.remove_staging(
                connection, store, files.source_name, datetime.now(UTC), files.record_table
            )
        context.add_output_metadata(
            {
                "staged_parts_removed": removed.parts,
                "staged_bytes_removed": removed.bytes,
                "stagings_compacted": removed.compacted,
                "stagings_damaged": removed.damaged,
            }
        )

    def on_gcs(
        context: dg.OpExecutionContext, postgres: PostgresResource, gcs: GcsResource
    ) -> None:
        remove(context, postgres, gcs)

    def on_minio(
        context: dg.OpExecutionContext, postgres: PostgresResource, minio: MinioResource
    ) -> None:
        remove(context, postgres, minio)

    def on_s3(context: dg.OpExecutionContext, postgres: PostgresResource, s3: S3Resource) -> None:
        remove(context, postgres, s3)

    on_store: dict[StoreKind, Callable[..., None]]
    on_store = {"gcs": on_gcs, "minio": on_minio, "s3": on_s3}
    return dg.op(
        name=f"remove_{files.job}_staging",
        description="Removes the staging of loaded batches after 7 days, but for the current "
        "records that they own, of which it is the durable copy.",
    )(on_store[files.store])
