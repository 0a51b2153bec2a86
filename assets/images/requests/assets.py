"""The asset that takes requests.

Belongs here: decorator and resources over one function. Does not: what a request may be.
"""

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.checks import validation_results
from assets.frame.reports import validation_metadata
from assets.frame.step import StepEvents, batch_step
from assets.images.pipeline import REQUESTS
from assets.images.settings import ImagesSettings
from resources.minio import MinioResource
from resources.postgres import PostgresResource


@dg.asset(**REQUESTS.validates(kinds={"minio", "postgres"}, output_required=False))
def image_requests(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> StepEvents:
    """A request file becomes a task, or is refused with a `result.json` that says why."""
    from assets.images.requests.validation import Desk, rules
    from landing.batch.validation import validate

    with (
        batch_step(REQUESTS, context, postgres, "validation") as batch_id,
        minio_bucket(minio, images.requests_bucket) as landed,
        minio_bucket(minio, images.quarantine_bucket) as quarantine,
        minio_bucket(minio, images.results_bucket) as results,
    ):
        desk = Desk(postgres, results)
        result = validate(
            postgres,
            landed,
            quarantine,
            rules(REQUESTS.sinks, desk.take, desk.refuse),
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
        )
        yield from validation_results(postgres, batch_id, result.rows)
        metadata = validation_metadata(REQUESTS, result)
        if result.reasons:
            uri = REQUESTS.uri(images.results_bucket, f"{context.partition_key}/")
            metadata["says_why"] = uri
        if result.staged_rows:
            yield dg.MaterializeResult(metadata=metadata)
        else:
            context.log.info("no request was taken: nothing is to be done for %s", batch_id)
            context.log_event(
                dg.AssetMaterialization(
                    context.asset_key, partition=context.partition_key, metadata=metadata
                )
            )
