"""Looks after the batches of prompts that OpenAI answers within a day.

Belongs here: Dagster's words for that, and which run follows. Does not: submitting and collecting
(``assets.domains.asking.batch_mode``).
"""

from collections.abc import Sequence

import dagster as dg

from assets.domains.asking.batch_mode import BatchStep
from assets.domains.months import Month
from assets.domains.pipeline import DOMAINS
from assets.domains.settings import DomainsSettings
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

#: Seconds between two looks: batches take minutes to a day.
LOOK_SECONDS = 30

#: Months with batches that are open, or were collected so lately that their run may be missing:
#: a tick that is cut off after it collected has asked for none.
_MONTHS = """
SELECT budget, (array_agg(key ORDER BY intended_at DESC))[1],
    count(*) FILTER (WHERE state <> 'collected')
FROM domains.openai_batch
WHERE state <> 'collected' OR collected_at > now() - interval '7 days'
GROUP BY budget ORDER BY budget
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
    """One step for every month with open batches; one month's trouble is not another's."""
    with postgres.connect() as connection:
        months = connection.execute(_MONTHS).fetchall()
    looked = [
        (month, key, _look(context, postgres, openai, domains, month) if is_open else BatchStep())
        for month, key, is_open in months
    ]
    return sensor_result(looked)


def _look(
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    openai: OpenAIResource,
    domains: DomainsSettings,
    month: str,
) -> BatchStep | None:
    """What a step came to; None where it failed, which the tick's log tells."""
    from assets.domains import review
    from assets.domains.asking import batch_mode

    try:
        return batch_mode.step(
            postgres,
            openai,
            Month.parse(month).start,
            review=review.problem,
            limits=domains.asking_limits(openai),
            log=context.log,
        )
    except Exception as error:  # noqa: BLE001 - the next tick tries again, other months go on
        context.log.warning("batches of %s: %s: %s", month, type(error).__name__, error)
        return None


def sensor_result(looked: Sequence[tuple[str, str, BatchStep | None]]) -> dg.SensorResult:
    """A run for every month without open batches, else what is waited for. Pure.

    ``looked`` has each month's latest batch. Its run asks again for what failed in the batch, and
    Dagster drops a request that was made before.
    """
    names = ("domain_summaries", "published_descriptions")
    requests = [
        dg.RunRequest(
            run_key=f"summaries/{month}/{key}",
            partition_key=month,
            asset_selection=[DOMAINS.key(name) for name in names],
            asset_check_keys=DOMAINS.check_keys(names),
        )
        for month, key, step in looked
        if step is not None and not step.open_batches and not step.busy
    ]
    told = "; ".join(f"{month}: {_told(step)}" for month, _, step in looked)
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else dg.SkipReason(told or "No batch of prompts is open."),
    )


def _told(step: BatchStep | None) -> str:
    if step is None:
        return "the look at its batches failed, see this tick's log"
    if step.busy:
        return "another process is at it"
    errors = f", {'; '.join(step.errors)}" if step.errors else ""
    return f"{step.left} prompts left in {step.open_batches} open batches{errors}"
