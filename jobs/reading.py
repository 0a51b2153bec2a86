"""The jobs of reading: the streaming session, history batches, and an hourly audit.

Belongs here: selection, tags and config. Does not: what runs when (``sensors``).
"""

from __future__ import annotations

import dagster as dg

from assets.reading.pipeline import BATCH_CHECKS, PIPELINE, WRITER, asset_key
from assets.reading.session.assets import META_KEY, RAW_KEY
from assets.reading.session.checks import AUDITS
from jobs.executor import guarded_executor, in_process

#: Tag of a run that is a streaming session; the queue lets one at a time run per value.
SESSION_TAG = "quintet/session"

# No retry by Dagster: the sensor asks for the next session, whatever ended the last one. No writer
# lock: it would keep history out for as long as a session lasts, and merges are fenced one by one.
reading_stream_job = dg.define_asset_job(
    name="reading_stream",
    description="The streaming session: Pub/Sub to BigQuery until its time is up.",
    selection=dg.AssetSelection.assets(RAW_KEY, META_KEY).without_checks(),
    config=in_process(),
    executor_def=guarded_executor,
    tags={SESSION_TAG: PIPELINE, "dagster/max_retries": "0"},
)

reading_history_job = dg.define_asset_job(
    name="reading_history",
    description="Validates one batch of history files and merges it into the tables.",
    selection=dg.AssetSelection.assets(*(asset_key(name) for name in BATCH_CHECKS)),
    executor_def=guarded_executor,
    # The ledger owns a batch's attempts: a retry by Dagster on top would run it twice.
    tags={**WRITER, "dagster/max_retries": "0", "dagster/max_runtime": "21600"},
)

reading_audit_job = dg.define_asset_job(
    name="reading_audit",
    description="Checks that every message is accounted for, and that no event is there twice.",
    selection=dg.AssetSelection.checks(*AUDITS),
    executor_def=guarded_executor,
)

reading_audit_schedule = dg.ScheduleDefinition(
    name="reading_audit_hourly",
    job=reading_audit_job,
    cron_schedule="50 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
