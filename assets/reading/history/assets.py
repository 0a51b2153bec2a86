"""The history's assets: landing, validation, and the two tables that it is merged into.

Belongs here: what each asset is called, reads, needs and shows. Does not: how anything is done
(``validation.py``, ``load.py``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.buckets import gcs_bucket
from assets.frame.reports import validation_checks, validation_results
from assets.frame.step import RETRY, StepEvents, batch_step, nothing_staged, sink_events
from assets.reading.pipeline import (
    BATCHES,
    LANDING_KEY,
    OWNERS,
    PIPELINE,
    SINKS,
    WRITER,
    asset_key,
)
from assets.reading.settings import ReadingSettings
from assets.reading.sources import column_schema
from assets.reading.warehouse import INTERACTIONS, INTERACTIONS_HISTORY, META
from assets.sinks.result import HOLDS_BATCH, SinkResult, Verification
from landing.batch.delivery import Delivery
from landing.batch.staging import PART_ROWS
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    from assets.reading.warehouse import Warehouse

#: Writes a delivery through a warehouse and a connection in autocommit mode, and reads it back.
Write = Callable[
    [Delivery, "Warehouse", "psycopg.Connection[Any]"], tuple[SinkResult, Verification]
]


@dataclass(frozen=True, slots=True)
class _Servers:
    """What a sink needs."""

    postgres: PostgresResource
    gcs: GcsResource
    bigquery: BigQueryResource
    reading: ReadingSettings


gcs_landing = dg.AssetSpec(
    key=LANDING_KEY,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"gcs", "csv"},
    description="History of events and categories, CSV or CSV.GZ, under the landing prefix on GCS. "
    "Observed by `reading_history_sensor`, with the backlog as the ledger counts it.",
)


@dg.asset(
    key=asset_key("history_rows"),
    deps=[LANDING_KEY],
    partitions_def=BATCHES,
    group_name=PIPELINE,
    owners=OWNERS,
    kinds={"python", "parquet"},
    output_required=False,
    retry_policy=RETRY,
    op_tags=WRITER,
    metadata={"dagster/column_schema": column_schema(INTERACTIONS_HISTORY)},
    check_specs=validation_checks(asset_key("history_rows")),
)
def history_rows(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    reading: ReadingSettings,
) -> StepEvents:
    """Valid rows of one batch of history files, staged as Parquet; rejects in quarantine."""
    from assets.reading.history import reports as history_reports
    from assets.reading.history.validation import validate_batch

    with (
        batch_step(context, postgres, "validation") as batch_id,
        gcs_bucket(gcs, reading.bucket) as store,
        gcs_bucket(gcs, reading.quarantine_bucket) as quarantine,
    ):
        result = validate_batch(
            postgres,
            store,
            quarantine,
            batch_id=batch_id,
            run_id=context.run.run_id,
            log=context.log,
        )
        yield from validation_results(postgres, batch_id, result.rows)
        metadata = history_reports.validation_metadata(result, reading)
        if result.staged_rows:
            yield dg.MaterializeResult(metadata=metadata)
        else:
            nothing_staged(context, metadata, [asset_key(name) for name in SINKS])


def _sink(
    name: str, table: str, *, holds: str, priority: int = 0
) -> Callable[[Callable[..., StepEvents]], dg.AssetsDefinition]:
    """A sink's asset; the higher ``priority`` is the first to be written."""
    return dg.asset(
        key=asset_key(name),
        deps=[asset_key("history_rows")],
        partitions_def=BATCHES,
        group_name=PIPELINE,
        owners=OWNERS,
        kinds={"bigquery"},
        retry_policy=RETRY,
        op_tags={**WRITER, "dagster/priority": str(priority)},
        pool="reading_history",
        metadata={"dagster/column_schema": column_schema(table)},
        check_specs=[dg.AssetCheckSpec(HOLDS_BATCH, asset=asset_key(name), description=holds)],
    )


@_sink(
    "interaction_history",
    INTERACTIONS,
    holds="Every event of the batch is in `user_interaction`, exactly once.",
    priority=1,
)
def interaction_history(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    bigquery: BigQueryResource,
    reading: ReadingSettings,
) -> StepEvents:
    """The batch's events in `user_interaction`, one row each, whatever else brought them.

    The days that gained events are reported on it, so that their counts are made anew.
    """

    def write(
        delivery: Delivery, warehouse: "Warehouse", conn: "psycopg.Connection[Any]"
    ) -> tuple[SinkResult, Verification]:
        from assets.reading.history.load import write_events

        return write_events(warehouse, conn, reading.bucket, delivery.parts)

    servers = _Servers(postgres, gcs, bigquery, reading)
    yield from _merged(context, servers, INTERACTIONS, write)


@_sink(
    "content_meta_history",
    META,
    holds="Every category of the batch is in `content_meta`, exactly once.",
)
def content_meta_history(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    bigquery: BigQueryResource,
    reading: ReadingSettings,
) -> StepEvents:
    """The batch's categories in `content_meta`; the days whose events they concern are reported."""

    def write(
        delivery: Delivery, warehouse: "Warehouse", conn: "psycopg.Connection[Any]"
    ) -> tuple[SinkResult, Verification]:
        from assets.reading.history.load import write_categories

        return write_categories(warehouse, conn, delivery.facts(rows=PART_ROWS))

    servers = _Servers(postgres, gcs, bigquery, reading)
    yield from _merged(context, servers, META, write)


def _merged(
    context: dg.AssetExecutionContext, servers: _Servers, table: str, write: Write
) -> StepEvents:
    """Give the sink of the asset that runs its batch, and tell Dagster which days have changed."""
    reading = servers.reading

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.reading.changes import report_changes
        from assets.reading.warehouse import Warehouse

        with (
            servers.bigquery.client() as client,
            servers.postgres.connect(autocommit=True) as conn,
        ):
            warehouse = Warehouse(client, reading.dataset)
            written = write(delivery, warehouse, conn)
            report_changes(context, conn, warehouse)
        return written

    name = f"{servers.bigquery.project}.{reading.dataset}.{table}"
    with gcs_bucket(servers.gcs, reading.bucket) as store:
        yield from sink_events(
            context, servers.postgres, store, take, metadata=lambda: {"dagster/table_name": name}
        )
