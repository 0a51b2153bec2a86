"""The events in BigQuery: loaded into a staging table, then merged, one row per record.

Belongs here: tables, statements, their order. Does not: the connection.
``user_events`` has day partitions on ``timestamp`` and is clustered by ``user_id``. The staging
table is shared by batches, one after the other: rows carry their batch, so that what another
batch left there is never merged.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from assets.campaigns.touched import touched
from assets.sinks.result import SinkResult, Verification, compared
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT, run, table_id

if TYPE_CHECKING:
    import polars as pl
    from google.cloud.bigquery import Client, SchemaField

    from resources.postgres import PostgresResource

EVENTS = "user_events"
STAGING = "user_events_staging"

#: Rows per load job: a table takes 1,500 load jobs a day, and a file is uploaded from disk.
LOAD_ROWS = 500_000
VERIFY_IDS = 10_000

_SCHEMA = (
    ("record_id", "STRING", "REQUIRED"),
    ("user_id", "STRING", "REQUIRED"),
    ("message", "STRING", "NULLABLE"),
    ("campaign", "STRING", "NULLABLE"),
    ("timestamp", "TIMESTAMP", "REQUIRED"),
    ("row_hash", "STRING", "REQUIRED"),
    ("source", "STRING", "NULLABLE"),
    ("ingested_at", "TIMESTAMP", "REQUIRED"),
)
_STAGING_SCHEMA = (
    *_SCHEMA,
    ("batch_id", "STRING", "REQUIRED"),
    ("seq", "INTEGER", "REQUIRED"),
    ("line", "INTEGER", "REQUIRED"),
)

# The days hold every place where a touched record may be: the merge reads no other partition.
# The source is made unique here, since a second row for a key would fail the merge.
MERGE = """
MERGE `{events}` AS t
USING (
    SELECT record_id, user_id, message, campaign, timestamp, row_hash, source, ingested_at
    FROM `{staging}`
    WHERE batch_id = @batch_id
    QUALIFY ROW_NUMBER() OVER (
        PARTITION BY record_id ORDER BY timestamp DESC, seq DESC, line DESC) = 1
) AS s
ON t.record_id = s.record_id AND TIMESTAMP_TRUNC(t.timestamp, DAY) IN UNNEST(@days)
WHEN MATCHED THEN UPDATE SET
    user_id = s.user_id, message = s.message, campaign = s.campaign, timestamp = s.timestamp,
    row_hash = s.row_hash, source = s.source, ingested_at = s.ingested_at
WHEN NOT MATCHED THEN INSERT
    (record_id, user_id, message, campaign, timestamp, row_hash, source, ingested_at)
    VALUES (s.record_id, s.user_id, s.message, s.campaign, s.timestamp, s.row_hash, s.source,
        s.ingested_at)
"""
HASHES = """
SELECT record_id, row_hash, COUNT(*) AS copies
FROM `{events}`
WHERE record_id IN UNNEST(@ids) AND TIMESTAMP_TRUNC(timestamp, DAY) IN UNNEST(@days)
GROUP BY record_id, row_hash
"""


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One dataset of the client's project."""

    client: Client
    dataset: str

    def sql(self, template: str) -> str:
        """A statement with the names of our tables in it."""
        return template.format(events=self.table(EVENTS), staging=self.table(STAGING))

    def table(self, name: str) -> str:
        """``project.dataset.name``. Raises ValueError for names that BigQuery does not allow."""
        return table_id(self.client.project, self.dataset, name)

    def ensure(self) -> None:
        """Create the dataset and both tables where they are missing."""
        from google.cloud.bigquery import Table, TimePartitioning

        self.client.create_dataset(self.dataset, exists_ok=True, timeout=REQUEST_TIMEOUT)
        events = Table(self.table(EVENTS), schema=_fields(_SCHEMA))
        events.time_partitioning = TimePartitioning(field="timestamp")
        events.clustering_fields = ["user_id"]
        staging = Table(self.table(STAGING), schema=_fields(_STAGING_SCHEMA))
        for table in (events, staging):
            self.client.create_table(table, exists_ok=True, timeout=REQUEST_TIMEOUT)


def write(
    chunks: Iterable[pl.DataFrame], warehouse: Warehouse, pg: PostgresResource, *, batch_id: str
) -> SinkResult:
    """Load the rows into staging, then merge them into the events in one statement.

    A kill before the merge changes nothing that is read. ``details``: days (partitions that the
    merge may read), loads. Raises google.api_core.exceptions errors.
    """
    started = time.monotonic()
    warehouse.ensure()
    written = loads = 0
    with touched(pg, batch_id) as batch:
        for file, rows in _files(batch.passing(chunks), batch_id):
            _load(file, warehouse, first=loads == 0)
            written += rows
            loads += 1
        days = batch.days()
    if written:
        run(warehouse.client, warehouse.sql(MERGE), [_batch(batch_id), _days(days)])
    seconds = time.monotonic() - started
    return SinkResult(written, 0, 0, seconds, {"days": len(days), "loads": loads})


def verify(chunks: Iterable[pl.DataFrame], warehouse: Warehouse) -> Verification:
    """Every row is there once, on its day, with its hash."""
    from google.cloud.bigquery import ArrayQueryParameter

    total = Verification()
    for chunk in chunks:
        for rows in chunk.iter_slices(VERIFY_IDS):
            expected = dict(rows.select("record_id", "row_hash").iter_rows())
            days = rows["timestamp"].dt.truncate("1d").unique().sort().to_list()
            ids = ArrayQueryParameter("ids", "STRING", list(expected))
            found: dict[str, str] = {}
            for row in run(warehouse.client, warehouse.sql(HASHES), [ids, _days(days)]):
                once = row.copies == 1 and row.record_id not in found
                found[row.record_id] = row.row_hash if once else "several rows"
            total = total.plus(compared(expected, found))
    return total


def statements(project: str, dataset: str) -> dict[str, str]:
    """Every statement of this module as it is sent, by name."""
    names = {
        "events": table_id(project, dataset, EVENTS),
        "staging": table_id(project, dataset, STAGING),
    }
    return {"merge": MERGE.format(**names), "hashes": HASHES.format(**names)}


def _files(chunks: Iterable[pl.DataFrame], batch_id: str) -> Iterator[tuple[BinaryIO, int]]:
    """The chunks as Parquet files of at most about LOAD_ROWS rows, and their rows.

    Each file is removed when the next is asked for.
    """
    import pyarrow.parquet as pq

    pending = iter(chunks)
    while (chunk := next(pending, None)) is not None:
        table = _staged(chunk, batch_id)
        rows = 0
        with tempfile.TemporaryFile() as file:
            with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
                while True:
                    writer.write_table(table)
                    rows += table.num_rows
                    if rows >= LOAD_ROWS or (chunk := next(pending, None)) is None:
                        break
                    table = _staged(chunk, batch_id)
            size = file.tell()
            file.seek(0)
            if rows and size:
                yield file, rows


def _staged(chunk: pl.DataFrame, batch_id: str) -> Any:
    """The chunk as a table of staging's columns."""
    import polars as pl

    names = [name for name, _, _ in _STAGING_SCHEMA]
    frame = chunk.with_columns(pl.lit(batch_id).alias("batch_id")).select(names)
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _load(file: BinaryIO, warehouse: Warehouse, *, first: bool) -> None:
    from google.cloud.bigquery import LoadJobConfig, SourceFormat, WriteDisposition

    config = LoadJobConfig(
        schema=_fields(_STAGING_SCHEMA),
        source_format=SourceFormat.PARQUET,
        write_disposition=(
            WriteDisposition.WRITE_TRUNCATE if first else WriteDisposition.WRITE_APPEND
        ),
    )
    job = warehouse.client.load_table_from_file(
        file, warehouse.table(STAGING), job_config=config, timeout=REQUEST_TIMEOUT
    )
    job.result(timeout=JOB_TIMEOUT)


def _fields(schema: Iterable[tuple[str, str, str]]) -> list[SchemaField]:
    from google.cloud.bigquery import SchemaField

    return [SchemaField(name, kind, mode) for name, kind, mode in schema]


def _batch(batch_id: str) -> Any:
    from google.cloud.bigquery import ScalarQueryParameter

    return ScalarQueryParameter("batch_id", "STRING", batch_id)


def _days(days: list[datetime]) -> Any:
    from google.cloud.bigquery import ArrayQueryParameter

    return ArrayQueryParameter("days", "TIMESTAMP", days)
