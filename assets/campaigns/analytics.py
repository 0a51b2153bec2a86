"""The events in BigQuery, one row per record.

Belongs here: which days a batch touches there. Does not: how rows come to BigQuery
(``assets/sinks/bigquery.py``) and the table (``tables.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from assets.campaigns.tables import USER_EVENTS, USER_EVENTS_STAGING, WAREHOUSE
from assets.campaigns.touched import touched
from assets.sinks import bigquery
from assets.sinks.bigquery import Warehouse
from assets.sinks.bigquery_merging import MOST_DAYS, few, merge, merge_rows
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
    """Merge the rows into the events: a few with the statement, others from the staging table.

    ``refuse`` is told of records that BigQuery refuses while it takes others, and of those that are
    so old that the table could not have a partition for each day up to now. A kill before the merge
    changes nothing that is read. ``details``: days (partitions that the merge may read), loads.
    Raises google.api_core.exceptions errors.
    """
    started = time.monotonic()
    warehouse.ensure()

    def refused(row: pl.DataFrame, detail: str) -> None:
        if refuse:
            refuse(row.item(0, "record_id"), detail)

    with touched(pg, batch_id) as batch:
        rows, left = few(_recent(chunks, refuse), USER_EVENTS)
        if rows is not None:
            for _ in batch.passing([rows]):
                pass
            days = batch.days()
            if _merged(rows, warehouse, days):
                seconds = time.monotonic() - started
                return SinkResult(rows.height, 0, 0, seconds, {"days": len(days), "loads": 0})
        staged = bigquery.stage(
            warehouse,
            USER_EVENTS_STAGING,
            batch.passing(left) if rows is None else left,
            batch_id=batch_id,
            refused=refused if refuse else None,
        )
        days = batch.days()
    if staged.rows:
        merge(
            warehouse, USER_EVENTS, USER_EVENTS_STAGING,
            batch_id=batch_id, newest=NEWEST, days=days,
        )  # fmt: skip
    seconds = time.monotonic() - started
    return SinkResult(staged.rows, 0, 0, seconds, {"days": len(days), "loads": staged.loads})


def _recent(
    chunks: Iterable[pl.DataFrame], refuse: Callable[[str, str], None] | None
) -> Iterator[pl.DataFrame]:
    """The chunks without the rows that the table could not have a partition for, if need be."""
    import polars as pl

    if refuse is None:
        yield from chunks
        return
    oldest = pl.col("ingested_at") - timedelta(days=MOST_DAYS)
    for chunk in chunks:
        old = chunk.filter(pl.col("timestamp") < oldest)
        for key in old["record_id"]:
            refuse(key, f"BigQuery: over {MOST_DAYS:,} days old, a table has 10,000 partitions")
        yield chunk.join(old, on="record_id", how="anti") if old.height else chunk


def _merged(rows: pl.DataFrame, warehouse: Warehouse, days: Sequence[datetime]) -> bool:
    """Whether BigQuery took them all; which one it refuses is found by loading them."""
    try:
        merge_rows(warehouse, USER_EVENTS, USER_EVENTS_STAGING, rows, newest=NEWEST, days=days)
    except Exception as error:
        if bigquery.refusal(error) is None:
            raise
        return False
    return True


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
