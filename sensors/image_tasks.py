"""Ends image tasks to which no run comes any more, so that their clients are told.

Belongs here: Dagster's word on a task's runs. Does not: what a task's end is
(``assets.images.tasks.failing``). A run that was cancelled in the UI or killed says nothing itself.
"""

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.images.pipeline import REQUESTS
from assets.images.settings import ImagesSettings
from resources.minio import MinioResource
from resources.postgres import PostgresResource

LOOK_SECONDS = 30
#: Tasks of a tick.
_MOST = 50
#: Runs of a task that are looked at, the newest ones.
_RUNS = 10


@dg.sensor(
    name="image_task_endings",
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says of image tasks whose run was cancelled or ended without a word how they "
    "ended, in `result.json` too.",
)
def image_task_endings(
    context: dg.SensorEvaluationContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> dg.SkipReason:
    """A task in the middle is left to its run, to one that is to come, or is told to have ended."""
    from assets.images.tasks import failing

    ended = list[str]()
    with (
        postgres.connect(autocommit=True) as connection,
        minio_bucket(minio, images.results_bucket) as results,
    ):
        for task in failing.left(connection, REQUESTS.pipeline, _MOST):
            runs = _runs(context.instance, task.task_id)
            if not all(run.is_finished for run in runs):
                continue
            cancelled = bool(runs) and runs[0].status == dg.DagsterRunStatus.CANCELED
            failing.give_up(connection, results, task, cancelled=cancelled)
            ended.append(task.task_id)
    return dg.SkipReason(f"ended: {', '.join(ended)}" if ended else "No task is left alone.")


def _runs(instance: dg.DagsterInstance, task_id: str) -> list[dg.DagsterRun]:
    """The task's runs, the newest first."""
    filters = dg.RunsFilter(job_name=REQUESTS.job, tags={"dagster/partition": task_id})
    return list(instance.get_runs(filters, limit=_RUNS))
