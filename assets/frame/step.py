"""The frame around a step that handles one landing batch: ledger, failure classes, results.

Belongs here: what validation and every sink of every batch pipeline share. Does not: what they do
inside it, what a pipeline is (``declared.py``), and the ledger itself (``landing``).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.frame import markdown, reports
from assets.frame.buckets import StoreResource, opened
from assets.frame.checks import validation_results
from assets.frame.declared import LandedFiles
from assets.frame.execution import BATCH_TAG
from assets.frame.giving import Giving, SinkMismatchError, figures, refused
from assets.sinks.result import HOLDS_BATCH, SAMPLE, SinkResult, Verification
from landing.arrival import ledger
from landing.arrival.identity import StoreKind
from landing.arrival.putting_off import put_off
from landing.arrival.states import LOADED
from landing.batch.delivery import Delivery, deliver
from landing.batch.failures import GoesOnLater, PermanentError, classify
from landing.batch.holding import BatchHeldElsewhere
from landing.batch.refused import Refusals
from landing.stores.base import ObjectStore
from resources.gcs import GcsResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

StepEvents = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


class RefusedRowError(PermanentError):
    """A store refuses a row, and there is no batch to note it with."""


class UnknownPartitionError(PermanentError):
    """The run's partition is none that landed."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run works on: a partition, and the landing batch that asked for it, if one did."""

    partition: str
    batch_id: str | None


@contextmanager
def batch_step(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource, what: str
) -> Iterator[str]:
    """Tell the ledger that this run works on a batch, and class what goes wrong; the batch's id.

    The batch is the one that the run's tag names, else the newest of the run's partition.
    Transient and unknown errors pass through to the retry policy. Raises:
        dg.Failure: a permanent failure, with what to do about it; it is not retried. A partition
            of which nothing landed (added by hand in the UI) is one.
    """
    with partition_step(files, context, postgres, what) as work:
        if work.batch_id is None:
            raise _unknown(files, work.partition)
        yield work.batch_id


@contextmanager
def partition_step(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource, what: str
) -> Iterator[Work]:
    """As :func:`batch_step`, for steps that work on their partition with or without a batch."""
    work = None
    try:
        work = _work(files, context, postgres)
        yield work
    except Exception as error:
        kind = classify(error)
        batch_id = work.batch_id if work else None
        if batch_id is not None:
            with postgres.connect() as connection:
                ledger.note_error(
                    connection,
                    batch_id,
                    run_id=context.run.run_id,
                    error_class=kind,
                    error=f"{what}: {error}",
                )
        if kind != "permanent":
            raise
        if isinstance(error, UnknownPartitionError):
            _forget_partition(files, context)
        raise _failure(context.partition_key, batch_id, what, error) from error


@contextmanager
def no_vain_retries(describe: Callable[[Exception], str]) -> Iterator[None]:
    """For steps without a batch: as :func:`partition_step`, ``describe`` says what to do about it.

    Raises:
        dg.Failure: a permanent failure; it is not retried.
    """
    try:
        yield
    except Exception as error:
        if classify(error) != "permanent":
            raise
        raise dg.Failure(
            description=describe(error),
            metadata={"error_type": type(error).__name__},
            allow_retries=False,
        ) from error


def derived_from(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource
) -> str:
    """The id of the batch that a derived step follows, for which the ledger does not wait.

    Raises:
        dg.Failure: nothing landed of the run's partition.
    """
    batch = _batch(files, context, postgres)
    if batch is None:
        partition = context.partition_key
        raise _failure(partition, None, context.asset_key.path[-1], _unknown(files, partition))
    return batch.batch_id


def followed(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource
) -> list[str]:
    """The ids of the batches that a derived step follows: the run's own, then those taken along.

    Raises dg.Failure as :func:`derived_from` does.
    """
    own = derived_from(files, context, postgres)
    with postgres.connect() as connection:
        beside = [
            batch.batch_id
            for batch in ledger.batches_in_run(connection, context.run.run_id)
            if batch.batch_id != own and batch.state in LOADED
        ]
    return [own, *beside]


def _forget_partition(files: LandedFiles, context: dg.AssetExecutionContext) -> None:
    """Remove what somebody made up in the UI: the ledger knows a batch before Dagster does."""
    if files.partition_set:
        context.instance.delete_dynamic_partition(files.partition_set, context.partition_key)


def _unknown(files: LandedFiles, partition: str) -> UnknownPartitionError:
    return UnknownPartitionError(
        f"nothing landed of the partition {partition}: partitions are added by `{files.sensor}` "
        "when files arrive, not by hand"
    )


def _batch(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource
) -> ledger.Batch | None:
    named = context.run.tags.get(BATCH_TAG)
    with postgres.connect() as connection:
        if named is None:
            return ledger.batch_of_partition(connection, files.source_name, context.partition_key)
        return ledger.batch(connection, named)


def _work(
    files: LandedFiles, context: dg.AssetExecutionContext, postgres: PostgresResource
) -> Work:
    batch, run_id = _batch(files, context, postgres), context.run.run_id
    if batch is not None and batch.run_id != run_id:
        with postgres.connect() as connection:
            # One that an operator executes anew has the tags of the run that it repeats.
            anew = "dagster/parent_run_id" in context.run.tags
            key = None if anew else context.run.tags.get("dagster/run_key")
            ledger.mark_running(connection, batch.batch_id, run_id, datetime.now(UTC), key=key)
    return Work(context.partition_key, batch.batch_id if batch else None)


def _failure(partition: str, batch_id: str | None, what: str, error: Exception) -> dg.Failure:
    if isinstance(error, (UnknownPartitionError, BatchHeldElsewhere)):
        return dg.Failure(description=f"{what}: {error}.", allow_retries=False)
    remedy = "Mend the cause, then " + (
        f"`make replay BATCH={batch_id}`." if batch_id else "materialize the partition again."
    )
    return dg.Failure(
        description=f"{what} of {batch_id or partition} cannot succeed as it is: {error}. {remedy}",
        metadata={
            "error_type": type(error).__name__,
            "batch": batch_id or "none",
            "remedy": remedy,
        },
        allow_retries=False,
    )


def validation_asset(files: LandedFiles, description: str) -> dg.AssetsDefinition:
    """The step that validates a batch: winners staged as Parquet, rejects in quarantine.

    When no row won, because all are known or none is valid, the run ends here. For a pipeline
    that reads its files in a way of its own, see ``LandedFiles.validates``.
    """
    keywords = files.validates(description=description, output_required=False)

    def on_gcs(
        context: dg.AssetExecutionContext, postgres: PostgresResource, gcs: GcsResource
    ) -> StepEvents:
        yield from _validate(files, context, postgres, gcs)

    def on_minio(
        context: dg.AssetExecutionContext, postgres: PostgresResource, minio: MinioResource
    ) -> StepEvents:
        yield from _validate(files, context, postgres, minio)

    def on_s3(
        context: dg.AssetExecutionContext, postgres: PostgresResource, s3: S3Resource
    ) -> StepEvents:
        yield from _validate(files, context, postgres, s3)

    on_store: dict[StoreKind, Callable[..., StepEvents]]
    on_store = {"gcs": on_gcs, "minio": on_minio, "s3": on_s3}
    return dg.asset(**keywords)(on_store[files.store])


def _validate(
    files: LandedFiles,
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    resource: StoreResource,
) -> StepEvents:
    from landing.batch.validation import validate

    places = files.places()
    with (
        partition_step(files, context, postgres, "validation") as work,
        opened(resource, places.bucket) as landing,
        _beside(resource, landing, places.staging_bucket) as staging,
        opened(resource, places.quarantine_bucket) as quarantine,
    ):
        if work.batch_id is None:
            yield from _nothing_landed(files, work.partition)
            return
        batch_id = work.batch_id
        result = validate(
            postgres,
            staging,
            quarantine,
            files.rules(),
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
            landing=landing,
            reader=files.reader(landing) if files.reader else None,
            put_off=put_off,
        )
        yield from validation_results(postgres, batch_id)
        metadata = reports.validation_metadata(files, result)
        if result.staged_rows or result.withdrawn:
            yield dg.MaterializeResult(metadata=metadata)
        else:
            _nothing_staged(files, context, metadata)


def _beside(
    resource: StoreResource, landing: ObjectStore, bucket: str
) -> AbstractContextManager[ObjectStore]:
    """The staging's bucket, which may be the one in which files land."""
    return nullcontext(landing) if bucket == landing.bucket else opened(resource, bucket)


def _nothing_landed(files: LandedFiles, partition: str) -> StepEvents:
    """A run that a person started: there is nothing to validate."""
    if not files.starts_alone:
        raise _unknown(files, partition)
    for check in files.checks[files.validation]:
        yield dg.AssetCheckResult(check_name=check, passed=True, metadata={"rows_read": 0})
    yield dg.MaterializeResult(metadata={"objects": 0, "started_by": "hand or backfill"})


def _nothing_staged(
    files: LandedFiles, context: dg.AssetExecutionContext, metadata: Mapping[str, Any]
) -> None:
    """Say that a validated batch leaves what is behind as it is: those steps are skipped.

    The validation's own asset is materialized with ``metadata``, the others with no row: the batch
    is done in all of them, as the ledger says too, without a step (and, in a large run, a process)
    for each. The caller must not yield its output, which is what the skipped steps wait for.
    """
    partition = context.partition_key
    own = dg.AssetMaterialization(context.asset_key, partition=partition, metadata=metadata)
    context.log_event(own)
    for key in files.behind_validation:
        none = {"dagster/partition_row_count": 0, "rows_written": 0}
        context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=none))
    context.log.info("nothing_staged batch=%s: no row is new, no sink has to be written", partition)


def sink_events(
    files: LandedFiles,
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    resource: StoreResource,
    take: Callable[[Delivery], tuple[SinkResult, Verification]],
    *,
    metadata: Callable[[], Mapping[str, Any]] = dict,
) -> StepEvents:
    """Deliver the batch to the sink that the asset ``[pipeline, sink]`` is.

    Yields its check and its materialization, for Dagster to record. ``resource`` leads to the
    store that holds the staging. ``take`` writes the delivery and verifies it; it is not called for
    a batch without rows.
    The sink is done in the ledger only when all is there as it was written. ``metadata`` is asked
    for more once it is.
    A run of a batch that was validated before takes along what waits for the sink beside it
    (landing.arrival.companions): ``take`` is called for each, and each partition is materialized.
    """
    sink = context.asset_key.path[-1]
    with (
        opened(resource, files.places().staging_bucket) as store,
        batch_step(files, context, postgres, sink) as batch_id,
    ):
        giving = Giving(files, context, postgres, store, take)
        with giving.delivery(batch_id) as delivery:
            result, found = giving.taken(delivery)
            yield _check(found, delivery)
            giving.settle(delivery, result, found)
        more = metadata()
        yield dg.MaterializeResult(metadata={**figures(result), **refused(delivery), **more})
        # Behind the result: a kill on the way leaves Dagster knowing what the ledger does.
        giving.catch_up(batch_id)


def partition_events(
    files: LandedFiles,
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    resource: StoreResource,
    take: Callable[[str], tuple[SinkResult, Verification]],
    *,
    metadata: Callable[[], Mapping[str, Any]] = dict,
    refusals: Refusals | None = None,
) -> StepEvents:
    """As :func:`sink_events`, for a sink that works on its partition, whatever was staged.

    ``take`` is given the partition. Where a batch asked for the run, the ledger is told. When it
    raises GoesOnLater, which an asset with ``output_required=False`` may, the run ends here and
    well: what is behind this step is skipped. ``refusals`` is where ``take`` sets rows aside, which
    the ledger keeps with the batch. Raises:
        dg.Failure: as :func:`partition_step`; also when rows were set aside in a run that no batch
            asked for, since nobody would be shown them. The others stay written.
    """
    sink = context.asset_key.path[-1]
    with partition_step(files, context, postgres, sink) as work:
        try:
            with ExitStack() as stack:
                delivery = None
                if work.batch_id is not None:
                    store = stack.enter_context(opened(resource, files.places().staging_bucket))
                    delivery = stack.enter_context(
                        deliver(
                            postgres,
                            store,
                            pipeline=files.pipeline,
                            batch_id=work.batch_id,
                            sink=sink,
                            run_id=context.run.run_id,
                            records=files.records,
                        )
                    )
                result, found = take(work.partition)
                _set_aside(refusals, delivery)
                yield _check(found, delivery)
                if not found.ok:
                    raise SinkMismatchError(found.problem(sink))
                if delivery is not None:
                    delivery.done(rows_written=result.rows_written)
        except GoesOnLater as later:
            yield _left_waiting(context, postgres, work, later)
            return
    yield dg.MaterializeResult(metadata={**figures(result), **metadata()})


def _set_aside(refusals: Refusals | None, delivery: Delivery | None) -> None:
    for key, said in (refusals.words if refusals else {}).items():
        if delivery is None:
            raise RefusedRowError(f"{key} is refused: {said}. The rows that are not are written")
        delivery.refuse(key, said, (None, None))


def _left_waiting(
    context: dg.AssetExecutionContext, postgres: PostgresResource, work: Work, later: GoesOnLater
) -> dg.AssetCheckResult:
    """Tell the ledger and the log; the check, without an output, is all that Dagster gets."""
    context.log.info("left_waiting partition=%s count=%d: %s", work.partition, later.count, later)
    if work.batch_id is not None:
        with postgres.connect() as connection:
            ledger.mark_waiting(
                connection,
                work.batch_id,
                run_id=context.run.run_id,
                why=str(later),
                now=datetime.now(UTC),
            )
    return dg.AssetCheckResult(
        check_name=HOLDS_BATCH,
        passed=False,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(later),
        metadata={"waiting_for": later.count},
    )


def _check(found: Verification, delivery: Delivery | None = None) -> dg.AssetCheckResult:
    """A warning where the sink holds all but what it refused, which is named."""
    metadata: dict[str, Any] = {k: v for k, v in asdict(found).items() if k != "sample"}
    if found.sample:
        metadata["sample"] = ", ".join(found.sample)
    description = None
    if delivery and delivery.refuse.words:
        rows = delivery.refused()
        shown = [(one.record_key, one.source, one.line, one.detail) for one in rows[:SAMPLE]]
        metadata["rows_refused"] = len(rows)
        metadata["refused"] = dg.MetadataValue.md(
            markdown.table(("record", "object", "line", f"{delivery.sink} says"), shown)
        )
        description = f"`make quarantine BATCH={delivery.batch_id}` shows the refused rows."
    refuses = "rows_refused" in metadata
    return dg.AssetCheckResult(
        check_name=HOLDS_BATCH,
        passed=found.ok and not refuses,
        severity=dg.AssetCheckSeverity.WARN
        if found.ok and refuses
        else dg.AssetCheckSeverity.ERROR,
        description=description,
        metadata=metadata,
    )
