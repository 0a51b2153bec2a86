"""The history's assets: landing, validation, and the two tables that it is merged into.

Belongs here: what each asset is called, reads, needs and shows. Does not: how anything is done
(``validation.py``, ``load.py``).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import dagster as dg

from assets.frame.step import StepEvents, sink_events, validation_asset
from assets.frame.tables import Table
from assets.reading.changes import report_changes
from assets.reading.history.load import write_categories, write_events
from assets.reading.pipeline import HISTORY
from assets.reading.settings import ReadingSettings
from assets.reading.tables import INTERACTIONS, META, warehouse_of
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.sinks.bigquery import Warehouse

#: Writes a delivery through a warehouse, and verifies it.
Write = Callable[[Delivery, "Warehouse"], tuple[SinkResult, Verification]]


history_rows = validation_asset(
    HISTORY, "Valid rows of one batch of history files, staged as Parquet; rejects in quarantine."
)


@dg.asset(
    **HISTORY.sink(
        "interaction_history",
        group="history",
        kinds={"bigquery"},
        pool="history",
        schema=INTERACTIONS.column_schema(),
        holds="Every event of the batch is in `user_interaction`, exactly once.",
        priority=1,
    )
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
    yield from _merged(
        context, postgres, gcs, bigquery, reading, INTERACTIONS,
        lambda delivery, warehouse: write_events(warehouse, postgres, reading.bucket, delivery),
    )  # fmt: skip


@dg.asset(
    **HISTORY.sink(
        "content_meta_history",
        group="history",
        kinds={"bigquery"},
        pool="history",
        schema=META.column_schema(),
        holds="Every category of the batch is in `content_meta`, exactly once.",
    )
)
def content_meta_history(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    bigquery: BigQueryResource,
    reading: ReadingSettings,
) -> StepEvents:
    """The batch's categories in `content_meta`; the days whose events they concern are reported."""
    yield from _merged(
        context, postgres, gcs, bigquery, reading, META,
        lambda delivery, warehouse: write_categories(warehouse, postgres, delivery),
    )  # fmt: skip


def _merged(
    context: dg.AssetExecutionContext,
    postgres: PostgresResource,
    gcs: GcsResource,
    bigquery: BigQueryResource,
    reading: ReadingSettings,
    table: Table,
    write: Write,
) -> StepEvents:
    """Give the sink of the asset that runs its batch, and tell Dagster which days have changed."""

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        with bigquery.client() as client:
            warehouse = warehouse_of(client, reading.dataset)
            written = write(delivery, warehouse)
            with postgres.connect(autocommit=True) as conn:
                report_changes(context, conn, warehouse)
        return written

    name = f"{bigquery.project}.{reading.dataset}.{table.name}"
    yield from sink_events(
        HISTORY, context, postgres, gcs, take, metadata=lambda: {"dagster/table_name": name}
    )
