"""The hourly audit of the music pipeline.

Belongs here: its job and schedule. Does not: the checks (``assets.music.checks``), the job of a
batch (``jobs.music``).
"""

from __future__ import annotations

import dagster as dg

from assets.music.checks import AUDITS
from jobs.executor import guarded_executor

music_audit_job = dg.define_asset_job(
    name="music_audit",
    description="Checks whole tables and indexes of music: rules, counts, nothing left waiting.",
    selection=dg.AssetSelection.checks(*AUDITS),
    executor_def=guarded_executor,
)

music_audit_schedule = dg.ScheduleDefinition(
    name="music_audit_hourly",
    job=music_audit_job,
    cron_schedule="40 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
