"""The frame around a step that handles one landing batch: ledger, failure classes, results.

Belongs here: what validation and every sink of every batch pipeline share. Does not: what they do
inside it, and the ledger itself (``landing``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.arrival import ledger
from landing.batch.delivery import Delivery, deliver
from landing.batch.failures import TransientError, classify
from landing.stores.base import ObjectStore
from resources.postgres import PostgresResource

#: For transient failures only: permanent ones end the step at once. Seconds.
RETRY = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)

StepEvents = Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]


class SinkMismatchError(TransientError):
    """A sink was written and does not hold what it was given."""


@contextmanager
def batch_step(
    context: dg.AssetExecutionContext, postgres: PostgresResource, what: str
) -> Iterator[str]:
    """Tell the ledger that this run works on the batch, and class what goes wrong; the batch's id.

    Transient errors pass through to the retry policy. Raises:
        dg.Failure: a permanent failure, with what to do about it; it is not retried.
    """
    batch_id, run_id = context.partition_key, context.run.run_id
    with postgres.connect() as connection:
        if ledger.batch(connection, batch_id).run_id != run_id:
            ledger.mark_running(connection, batch_id, run_id, datetime.now(UTC))
    try:
        yield batch_id
    except Exception as error:
        kind = classify(error)
        with postgres.connect() as connection:
            ledger.note_error(
                connection, batch_id, run_id=run_id, error_class=kind, error=f"{what}: {error}"
            )
        if kind == "transient":
            raise
        remedy = f"Mend the cause, then `make replay BATCH={batch_id}`."
        raise dg.Failure(
            description=f"{what} of {batch_id} cannot succeed as it is: {error}. {remedy}",
            metadata={"error_type": type(error).__name__, "batch": batch_id, "remedy": remedy},
            allow_retries=False,
        ) from error


def nothing_staged(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Any], behind: Sequence[dg.AssetKey]
) -> None:
    """Say that a validated batch leaves the assets ``behind`` as they are: their steps are skipped.

    The validation's own asset is materialized with ``metadata``, the others with no row: the batch
    is done in all of them, as the ledger says too, without a step (and, in a large run, a process)
    for each. The caller must not yield its output, which is what the skipped steps wait for.
    """
    partition = context.partition_key
    own = dg.AssetMaterialization(context.asset_key, partition=partition, metadata=metadata)
    context.log_event(own)
    for key in behind:
        none = {"dagster/partition_row_count": 0, "rows_written": 0}
        context.log_event(dg.AssetMaterialization(key, partition=partition, metadata=none))
    context.log.info("nothing_staged batch=%s: no row is new, no sink has to be written", partition)


def sink_events(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    store: ObjectStore,
    take: Callable[[Delivery], tuple[SinkResult, Verification]],
    *,
    metadata: Callable[[], Mapping[str, Any]] = dict,
) -> StepEvents:
    """Deliver the batch to the sink that the asset ``[pipeline, sink]`` is.

    Yields its check and its materialization, for Dagster to record. ``take`` writes the delivery
    and reads it back; it is not called for a batch without rows.
    The sink is done in the ledger only when all was read back as written. ``metadata`` is asked
    for more once it is.
    """
    pipeline, sink = context.asset_key.path
    with batch_step(context, postgres, sink) as batch_id:
        with deliver(
            postgres,
            store,
            pipeline=pipeline,
            batch_id=batch_id,
            sink=sink,
            run_id=context.run.run_id,
        ) as delivery:
            result, found = SinkResult(0, 0, 0, 0.0), Verification()
            if delivery.row_count:
                result, found = take(delivery)
            yield _check(found)
            if not found.ok:
                raise SinkMismatchError(
                    f"{sink}: of {found.expected} rows {found.missing} are missing, "
                    f"{found.differing} differ, {found.unexpected} should not be there: "
                    f"{', '.join(found.sample)}"
                )
            delivery.done(rows_written=result.rows_written)
        yield dg.MaterializeResult(metadata={**_figures(result), **metadata()})


def _check(found: Verification) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=HOLDS_BATCH,
        passed=found.ok,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={k: v for k, v in asdict(found).items() if k != "sample"}
        | ({"sample": ", ".join(found.sample)} if found.sample else {}),
    )


def _figures(result: SinkResult) -> dict[str, Any]:
    return {
        "dagster/partition_row_count": result.rows_written,
        "rows_written": result.rows_written,
        "rows_already_there": result.unchanged,
        "deleted": result.deleted,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(result.rows_per_second, 1),
        **result.details,
    }
