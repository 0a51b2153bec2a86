"""The model's part in a task: what it sees in each result.

Belongs here: decorator and resources over one function. Does not: predicting (``predicting.py``),
the model (``model_asset.py``).
"""

from typing import Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.step import StepEvents, partition_events
from assets.images.pipeline import REQUESTS
from assets.images.settings import ImagesSettings
from assets.sinks.result import SinkResult, Verification
from landing.batch.failures import PermanentError
from resources.classifier import ClassifierResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource


@dg.asset(
    **REQUESTS.sink(
        "task_predictions",
        group="tasks",
        kinds={"onnx", "postgres"},
        pool=None,
        deps=["task_images"],
        code_version="1",
        holds="A prediction for every good item, where they were asked for.",
    )
)
def task_predictions(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    classifier: ClassifierResource,
    images: ImagesSettings,
) -> StepEvents:
    """Master category, article type and dominant colour of each result, with scores.

    Nothing is done for a task that did not ask for it. Without a model yet a task ends without
    predictions, which its next run adds.
    """
    shown: dict[str, Any] = {}

    def take(task_id: str) -> tuple[SinkResult, Verification]:
        from assets.images.classifier import charts, predicting, stored
        from assets.images.tasks import failing

        with (
            postgres.connect(autocommit=True) as connection,
            minio_bucket(minio, images.results_bucket) as results,
            minio_bucket(minio, images.models_bucket) as models,
        ):
            if not predicting.asked(connection, task_id):
                shown["predictions"] = "not asked for"
                return SinkResult(0, 0, predicting.forget(connection, task_id), 0.0), Verification()
            try:
                model = stored.chosen(classifier, minio, models)
            except stored.NoModelError as error:
                context.log.warning("no_predictions task=%s: %s", task_id, error)
                shown["predictions"] = f"none: {error}"
                return SinkResult(0, 0, 0, 0.0), Verification()
            except PermanentError as error:
                # Whoever asks for the task is told: no further run of it can end otherwise.
                failing.fail(connection, results, task_id, error)
                raise
            done = predicting.predict_task(connection, results, model, task_id, context.log)
            counts = predicting.label_counts(connection, task_id)
        shown["latest_model"] = model.version
        shown["unreadable"] = done.unreadable
        if picture := charts.labels_picture(counts, f"What the model sees in {task_id}"):
            shown["labels"] = dg.MetadataValue.md(picture)
        rows = done.predicted + done.unchanged
        return SinkResult(rows, done.unchanged, done.removed, done.seconds), done.found

    yield from partition_events(REQUESTS, context, postgres, minio, take, metadata=lambda: shown)
