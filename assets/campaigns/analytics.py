"""The events in BigQuery, one row per record.

Belongs here: which days a batch touches there. Does not: how rows come to BigQuery
(``assets/sinks/bigquery.py``) and the table (``tables.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from assets.campaigns.tables import USER_EVENTS, USER_EVENTS_STAGING, WAREHOUSE
from assets.campaigns.touched import touched
from assets.sinks import bigquery
from assets.sinks.bigquery import Warehouse
from assets.sinks.result import SinkResult, Verification

if TYPE_CHECKING:
    import polars as pl
    from google.cloud.bigquery import Client

    from resources.postgres import PostgresResource

#: Of two rows of a record in one batch the one that sorts last is merged.
NEWEST = ("timestamp", "seq", "line")


def warehouse_of(client: Client, dataset: str) -> Warehouse:
    """The dataset of campaigns."""
    return Warehouse(client, dataset, WAREHOUSE)


def write(
    chunks: Iterable[pl.DataFrame],
    warehouse: Warehouse,
    pg: PostgresResource,
    *,
    batch_id: str,
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Load the rows into staging, then merge them into the events in one statement.

    ``refuse`` is told of records that BigQuery refuses while it takes others. A kill before the
    merge changes nothing that is read. ``details``: days (partitions that the merge may read),
    loads. Raises google.api_core.exceptions errors.
    """
    started = time.monotonic()
    warehouse.ensure()

    def refused(row: pl.DataFrame, detail: str) -> None:
        if refuse:
            refuse(row.item(0, "record_id"), detail)

    with touched(pg, batch_id) as batch:
        staged = bigquery.stage(
            warehouse,
            USER_EVENTS_STAGING,
            batch.passing(chunks),
            batch_id=batch_id,
            refused=refused if refuse else None,
        )
        days = batch.days()
    if staged.rows:
        bigquery.merge(
            warehouse, USER_EVENTS, USER_EVENTS_STAGING,
            batch_id=batch_id, newest=NEWEST, days=days,
        )  # fmt: skip
    seconds = time.monotonic() - started
    return SinkResult(staged.rows, 0, 0, seconds, {"days": len(days), "loads": staged.loads})


def verify(chunks: Iterable[pl.DataFrame], warehouse: Warehouse) -> Verification:
    """Every row is there once, on its day, with its hash."""
    return bigquery.verify(warehouse, USER_EVENTS, chunks)


def verify_written(
    rows: Callable[[], Iterable[pl.DataFrame]], warehouse: Warehouse, batch_id: str
) -> Verification:
    """The same of the batch that was written last: in one query when all is well."""
    return bigquery.verify_staged(
        warehouse, USER_EVENTS, USER_EVENTS_STAGING, rows, batch_id=batch_id, newest=NEWEST
    )
