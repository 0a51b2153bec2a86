"""The assets of a task: its request, its items, their images, the files beside them.

Belongs here: decorators and resources over one function each. Does not: what these do.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import minio_bucket
from assets.frame.checks import validation_results
from assets.frame.execution import BATCH_TAG
from assets.frame.reports import validation_metadata
from assets.frame.step import StepEvents, batch_step, partition_events
from assets.images.pipeline import REQUESTS
from assets.images.settings import ImagesSettings
from assets.sinks.result import SinkResult, Verification
from landing.arrival.putting_off import put_off
from landing.batch.failures import PermanentError, classify
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import logging

    import psycopg

    from assets.images.tasks.attempt import Engine
    from assets.images.tasks.ledger import Task
    from landing.stores.base import ObjectStore
    from resources.minio_client import Access

    Connection = psycopg.Connection[Any]


@dg.asset(**REQUESTS.validates(kinds={"minio", "postgres"}, output_required=False))
def image_requests(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> StepEvents:
    """A request file becomes a task, or is refused with a `result.json` that says why."""
    from assets.images.tasks.taking import Desk, rules
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
            put_off=put_off,
        )
        yield from validation_results(postgres, batch_id)
        metadata = validation_metadata(REQUESTS, result)
        if result.reasons:
            uri = REQUESTS.uri(images.results_bucket, f"{context.partition_key}/")
            metadata["says_why"] = uri
        if result.staged_rows or _goes_on(context, postgres):
            yield dg.MaterializeResult(metadata=metadata)
        else:
            context.log.info("no request was taken: nothing is to be done for %s", batch_id)
            context.log_event(
                dg.AssetMaterialization(
                    context.asset_key, partition=context.partition_key, metadata=metadata
                )
            )


@dg.asset(
    **REQUESTS.sink(
        "image_task_manifest",
        group="tasks",
        kinds={"postgres"},
        pool=None,
        deps=["image_requests", "product_catalog", "image_inventory"],
        code_version="1",
        holds="One item for every product that the request matches.",
    )
)
def image_task_manifest(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> StepEvents:
    """The products that match, each with the image that the inventory has of it."""
    shown: dict[str, Any] = {}

    def take(task_id: str) -> tuple[SinkResult, Verification]:
        from assets.images.tasks import items, manifest

        with (
            minio_bucket(minio, images.results_bucket) as results,
            _task(postgres, results, task_id) as (connection, task),
        ):
            result = manifest.decide(connection, task)
            shown.update(_counted(connection, task_id))
            shown["waiting"] = result[0].rows_written - sum(
                items.counts(connection, task_id).values()
            )
        return result

    yield from partition_events(REQUESTS, context, postgres, minio, take, metadata=lambda: shown)


@dg.asset(
    **REQUESTS.sink(
        "task_images",
        group="tasks",
        kinds={"minio", "pillow"},
        pool=None,
        deps=["image_task_manifest"],
        code_version="1",
        holds="An object of the size told for every good item, and no other.",
    )
)
def task_images(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> StepEvents:
    """Each item's image, copied or transformed; what can't be has its reason."""
    shown: dict[str, Any] = {}

    def take(task_id: str) -> tuple[SinkResult, Verification]:
        from assets.images.tasks import items, sheets
        from assets.images.tasks.attempt import attempt

        started = time.monotonic()
        with (
            minio_bucket(minio, images.results_bucket) as results,
            _task(postgres, results, task_id) as (connection, task),
        ):
            done = attempt(
                connection, results, task, _engine(images, minio.access, context.log), context.log
            )
            counts = items.counts(connection, task_id)
            shown.update(_counted(connection, task_id))
            shown["images_per_second"] = round(done.worked / max(done.seconds, 1e-3), 1)
            for name, sheet in (
                ("contact_sheet", sheets.results(connection, task_id, results.get)),
                ("rejects_sheet", sheets.rejects(connection, task_id)),
            ):
                if sheet:
                    shown[name] = dg.MetadataValue.md(sheet)
        good = counts.get("ok", 0)
        seconds = time.monotonic() - started
        result = SinkResult(good, max(good - done.worked, 0), done.removed, seconds)
        return result, done.found

    yield from partition_events(REQUESTS, context, postgres, minio, take, metadata=lambda: shown)


@dg.asset(
    **REQUESTS.sink(
        "task_metadata",
        group="tasks",
        kinds={"minio", "csv", "parquet"},
        pool=None,
        deps=["task_images", "task_predictions"],
        code_version="1",
        holds="One row per requested product; files read back by their digests.",
    )
)
def task_metadata(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    minio: MinioResource,
    images: ImagesSettings,
) -> StepEvents:
    """`metadata.csv`, `metadata.parquet`, and `result.json` last: then the task is done."""
    shown: dict[str, Any] = {}

    def take(task_id: str) -> tuple[SinkResult, Verification]:
        from assets.images.tasks import ledger
        from assets.images.tasks.ending import end

        with (
            minio_bucket(minio, images.results_bucket) as results,
            _task(postgres, results, task_id) as (connection, task),
        ):
            ended = end(connection, results, task)
            shown["state"] = ledger.task(connection, task_id).state
            shown["dagster/uri"] = REQUESTS.uri(images.results_bucket, f"{task_id}/")
            shown.update(_counted(connection, task_id))
        return ended

    yield from partition_events(REQUESTS, context, postgres, minio, take, metadata=lambda: shown)


def _goes_on(context: dg.AssetExecutionContext, postgres: PostgresResource) -> bool:
    """Whether a run that a person started is of a task, of whose name a request was refused since.

    What is wrong with that request was told; the task may be cancelled, or have lost results.
    """
    from assets.images.tasks import ledger

    if BATCH_TAG in context.run.tags:
        return False
    with postgres.connect() as connection:
        return ledger.is_taken(connection, context.partition_key)


def _engine(images: ImagesSettings, access: "Access", log: "logging.Logger") -> "Engine":
    """Works on what waits of a task: here, or, where it is large, on machines of the broker's."""
    if images.engine not in {"local", "celery"}:
        raise PermanentError(f"IMAGES_ENGINE is {images.engine!r}: it is local or celery")

    def run(connection: "Connection", task: "Task") -> bool:
        if images.engine == "celery" and task.items and task.items > images.shard_from:
            from assets.images.scaleout.celery_app import sender
            from assets.images.scaleout.sending import oversee

            size, window = images.shard_items, images.shard_window
            return oversee(connection, task, sender(), log, shard_items=size, window=window)
        from assets.images.tasks.local_engine import local
        from assets.images.tasks.work import work

        return work(connection, task, local(task, images, access), log=log)

    return run


@contextmanager
def _task(
    postgres: PostgresResource, results: "ObjectStore", task_id: str
) -> Iterator[tuple["Connection", "Task"]]:
    """The task, on a connection in autocommit mode; one that fails for good is told so.

    A run that is ended from outside leaves it cancelled: the next one goes on.
    """
    from assets.images.tasks import failing, ledger

    with postgres.connect(autocommit=True) as connection:
        try:
            yield connection, ledger.task(connection, task_id)
        except Exception as error:
            if classify(error) == "permanent":
                failing.fail(connection, results, task_id, error)
            raise
        except BaseException:
            failing.stop(connection, results, task_id)
            raise


def _counted(connection: "Connection", task_id: str) -> dict[str, Any]:
    """Items by what came of them, as numbers that the UI plots."""
    from assets.images.tasks import items

    counts = items.counts(connection, task_id)
    return {f"items_{status}": count for status, count in counts.items()}
