"""The daily clean-up of what landing keeps only for a time.

Belongs here: the job, its schedule, Dagster's partitions. Does not: what is due
(``landing.retention``).
"""

from datetime import UTC, datetime

import dagster as dg

from assets.campaigns.pipeline import BATCHES, PIPELINE
from assets.campaigns.settings import CampaignsSettings
from jobs.executor import guarded_executor
from landing import retention
from resources.gcs import GcsResource
from resources.postgres import PostgresResource


@dg.op(description="Removes loaded batches' partitions after 90 days and their staging after 7.")
def maintain_landing(
    context: dg.OpExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    campaigns: CampaignsSettings,
) -> None:
    """The ledger keeps every batch; `make replay` brings a partition back."""
    from landing.stores.gcs import GcsStore

    now = datetime.now(UTC)
    client = gcs.client()
    try:
        with postgres.connect(autocommit=True) as connection:
            due = retention.due_partitions(connection, PIPELINE, now)
            for batch_id in due:
                context.instance.delete_dynamic_partition(BATCHES.name or "", batch_id)
                retention.mark_partition(connection, batch_id, now)
            store = GcsStore(client, campaigns.bucket)
            removed = retention.remove_staging(connection, store, PIPELINE, now)
    finally:
        client.close()
    context.add_output_metadata(
        {
            "partitions_removed": len(due),
            "staged_parts_removed": removed.parts,
            "staged_bytes_removed": removed.bytes,
        }
    )


@dg.job(
    name="maintenance",
    executor_def=guarded_executor,
    description="Lets go of old partitions and of staging that every sink has read.",
)
def maintenance_job() -> None:
    """One op, so that a failure names what failed."""
    maintain_landing()


maintenance_schedule = dg.ScheduleDefinition(
    name="maintenance_daily",
    job=maintenance_job,
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
