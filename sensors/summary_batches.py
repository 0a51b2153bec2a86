"""Looks after the batches of prompts that OpenAI answers within a day.

Belongs here: Dagster's words for that, and which run follows. Does not: submitting and collecting
(``assets.domains.asking.batch_mode``).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from assets.domains.months import Month
from assets.domains.pipeline import DOMAINS
from assets.domains.settings import DomainsSettings
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.domains.asking.batch_mode import BatchStep

#: Seconds between two looks: batches take minutes to a day.
LOOK_SECONDS = 30

_MONTHS = """
SELECT budget, max(key COLLATE "C") FROM domains.openai_batch
WHERE state <> 'collected' GROUP BY budget ORDER BY budget
"""


@dg.sensor(
    name="summary_batch_sensor",
    job_name=DOMAINS.job,
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Collects what OpenAI's Batch API has answered, submits again what failed, and "
    "asks for the run that publishes a month once all of it is answered.",
)
def summary_batch_sensor(
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    openai: OpenAIResource,
    domains: DomainsSettings,
) -> dg.SensorResult:
    """One step for every month with open batches."""
    with postgres.connect() as connection:
        months = connection.execute(_MONTHS).fetchall()
    if not months:
        return dg.SensorResult(skip_reason="No batch of prompts is open.")
    from assets.domains import review
    from assets.domains.asking import batch_mode

    steps = [
        (
            month,
            key,
            batch_mode.step(
                postgres,
                openai,
                Month.parse(month).start,
                review=review.problem,
                limits=domains.asking_limits(openai),
                log=context.log,
            ),
        )
        for month, key in months
    ]
    return sensor_result(steps)


def sensor_result(steps: Sequence[tuple[str, str, "BatchStep"]]) -> dg.SensorResult:
    """A run for every month of which nothing is left, else what is waited for. Pure.

    ``steps`` are of a month, with one of the batches that were open before.
    """
    requests = [
        dg.RunRequest(
            run_key=f"summaries/{month}/{key}",
            partition_key=month,
            asset_selection=[
                DOMAINS.key(name) for name in ("domain_summaries", "published_descriptions")
            ],
            asset_check_keys=DOMAINS.check_keys(("domain_summaries", "published_descriptions")),
        )
        for month, key, step in steps
        if not step.left and not step.busy
    ]
    told = "; ".join(
        f"{month}: {'another process is at it' if step.busy else _told(step)}"
        for month, _, step in steps
    )
    return dg.SensorResult(
        run_requests=requests, skip_reason=None if requests else dg.SkipReason(told)
    )


def _told(step: "BatchStep") -> str:
    errors = f", {'; '.join(step.errors)}" if step.errors else ""
    return f"{step.left} prompts left in {step.open_batches} open batches{errors}"
