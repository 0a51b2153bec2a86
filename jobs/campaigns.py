"""The jobs of the campaigns pipeline: one run per landing batch, and an hourly audit.

Belongs here: selection, tags and config. Does not: which batches run when (``sensors``).
"""

from __future__ import annotations

import dagster as dg

from assets.campaigns.checks import no_batch_failed_for_good, no_profile_without_event
from assets.campaigns.pipeline import LANDING_KEY, PIPELINE
from jobs.executor import WRITER_TAG, guarded_executor

AUDITS = (no_profile_without_event, no_batch_failed_for_good)

campaigns_job = dg.define_asset_job(
    name=PIPELINE,
    description="Validates one batch of landed CSV objects and writes it to every sink.",
    selection=(
        dg.AssetSelection.groups(PIPELINE)
        - dg.AssetSelection.assets(LANDING_KEY)
        - dg.AssetSelection.checks(*AUDITS)
    ),
    executor_def=guarded_executor,
    # The ledger owns a batch's attempts: a retry by Dagster on top would run it twice.
    tags={WRITER_TAG: PIPELINE, "dagster/max_retries": "0", "dagster/max_runtime": "21600"},
)

campaigns_audit_job = dg.define_asset_job(
    name="campaigns_audit",
    description="Checks whole stores: no vector without an event, no batch left to an operator.",
    selection=dg.AssetSelection.checks(*AUDITS),
    executor_def=guarded_executor,
)

campaigns_audit_schedule = dg.ScheduleDefinition(
    name="campaigns_audit_hourly",
    job=campaigns_audit_job,
    cron_schedule="20 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
