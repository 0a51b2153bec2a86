"""Looks after the batches of prompts that OpenAI answers within a day.

Belongs here: Dagster's words for that, and which run follows. Does not: submitting and collecting
(``assets.domains.asking.batch_mode``).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from assets.domains.months import Month
from assets.domains.pipeline import DOMAINS
from assets.domains.settings import DomainsSettings
from assets.frame.execution import BATCH_TAG
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.domains.asking.awaited import Awaited
    from assets.domains.asking.batch_mode import BatchStep

#: Seconds between two looks: batches take minutes to a day.
LOOK_SECONDS = 30

#: Months with batches to look at.
_OPEN = (
    "SELECT DISTINCT budget FROM domains.openai_batch WHERE state <> 'collected' ORDER BY budget"
)


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
    from assets.domains.asking import awaited

    with postgres.connect() as connection:
        months = [row[0] for row in connection.execute(_OPEN)]
    looked = {month: _look(context, postgres, openai, domains, month) for month in months}
    with postgres.connect() as connection:
        waiting = awaited.months(connection)
    return sensor_result(looked, waiting)


def _look(
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    openai: OpenAIResource,
    domains: DomainsSettings,
    month: str,
) -> "BatchStep | None":
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


def sensor_result(
    looked: "Mapping[str, BatchStep | None]", waiting: "Sequence[Awaited]"
) -> dg.SensorResult:
    """A run for every month that waits for nothing any more, else what is waited for. Pure.

    ``looked`` has a step for each month with open batches. A run asks again for what failed in a
    batch. It is asked for at every tick until it has begun to ask or is done with the month:
    whoever is cut off loses none, and Dagster drops a request that was made before.
    """
    names = ("domain_summaries", "published_descriptions")
    requests = [
        dg.RunRequest(
            run_key=one.run_key,
            partition_key=one.month,
            # Another marker of the month may have landed since, which is not validated yet.
            tags={BATCH_TAG: one.landed} if one.landed else {},
            asset_selection=[DOMAINS.key(name) for name in names],
            asset_check_keys=DOMAINS.check_keys(names),
        )
        for one in waiting
        if not one.batched and _is_settled(one.month, looked)
    ]
    told = [f"{month}: {_told(step)}" for month, step in looked.items()]
    told += [
        f"{one.month}: {one.batched} prompts left in another month's batches"
        for one in waiting
        if one.batched and one.month not in looked
    ]
    reason = "; ".join(told) or "No batch of prompts is open."
    return dg.SensorResult(
        run_requests=requests, skip_reason=None if requests else dg.SkipReason(reason)
    )


def _is_settled(month: str, looked: "Mapping[str, BatchStep | None]") -> bool:
    """Whether nobody is at the month's batches, who may be about to submit more."""
    if month not in looked:
        return True
    step = looked[month]
    return step is not None and not step.busy


def _told(step: "BatchStep | None") -> str:
    if step is None:
        return "the look at its batches failed, see this tick's log"
    if step.busy:
        return "another process is at it"
    errors = f", {'; '.join(step.errors)}" if step.errors else ""
    return f"{step.left} prompts left in {step.open_batches} open batches{errors}"
