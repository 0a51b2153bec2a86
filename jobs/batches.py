"""The jobs that follow from a declaration: a batch's, and the hourly audit of a pipeline.

Belongs here: selection, tags and schedules of those. Does not: jobs that only one pipeline has (its
own package), what runs when (``sensors``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from assets.frame.declared import LandedFiles, Pipeline
from assets.frame.execution import WRITER_TAG

#: Seconds after which a run of a batch is ended.
MOST_SECONDS = 6 * 60 * 60


def batch_job(files: LandedFiles) -> Any:
    """One run per landing batch: validation, every sink, what is derived, and their own checks."""
    names = (files.validation, *files.sinks, *files.derived)
    keys = [files.key(name) for name in names]
    return dg.define_asset_job(
        name=files.job,
        description=f"Validates one batch of {files.pipeline} and writes it to every sink.",
        selection=dg.AssetSelection.assets(*keys).without_checks()
        | dg.AssetSelection.checks(*files.check_keys(names)),
        # The ledger owns a batch's attempts: a retry by Dagster on top would run it twice.
        tags={
            **({WRITER_TAG: files.writer} if files.writer else {}),
            "dagster/max_retries": "0",
            "dagster/max_runtime": str(MOST_SECONDS),
        },
    )


def audit_schedule(
    pipeline: Pipeline, audits: Sequence[dg.AssetsDefinition]
) -> dg.ScheduleDefinition:
    """Its job runs the checks over whole stores, which no run of a batch makes."""
    job = dg.define_asset_job(
        name=f"{pipeline.name}_audit",
        description=f"Checks whole stores of {pipeline.name}, and that nothing was left waiting.",
        selection=dg.AssetSelection.checks(*(key for one in audits for key in one.check_keys)),
    )
    return dg.ScheduleDefinition(
        name=f"{pipeline.name}_audit_hourly",
        job=job,
        cron_schedule=f"{pipeline.audit_minute} * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
