"""Rows in BigQuery: loaded into a table's staging table, and read back.

Belongs here: a dataset and its tables as they are declared, load jobs, reading back. Does not: the
connection (``resources/bigquery.py``), any table, merging what was loaded
(``bigquery_merging.py``), any other statement.
A staging table is shared by batches, one after the other: rows carry their batch, so that what
another batch left there is never merged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from assets.frame.tables import BATCH_ID, ROW_HASH, Column, Table
from assets.sinks.isolating import Isolating, Refusal
from assets.sinks.result import Verification, compared
from landing.batch.failures import classify
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT, UPLOAD_RETRIES, run, table_id

if TYPE_CHECKING:
    import polars as pl
    from google.cloud.bigquery import Client, LoadJobConfig, SchemaField, TimePartitioning

#: BigQuery's names of the types that columns are declared with.
SPELLED = {
    "bigint": "INTEGER",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "double precision": "FLOAT",
    "integer": "INTEGER",
    "record": "RECORD",
    "smallint": "INTEGER",
    "text": "STRING",
    "timestamptz": "TIMESTAMP",
}
#: ``string``: its type.
ADD_COLUMN = "ALTER TABLE `{table}` ADD COLUMN IF NOT EXISTS `{column}` {string}"
#: In place of a column to partition by: the hour in which a row came in, which BigQuery keeps.
INGESTION_HOUR = "_PARTITIONTIME"
#: Reasons of a load job that may be its rows' fault.
_OF_ROWS = frozenset({"invalid", "rowError"})
#: Rows per load job: a table takes 1,500 load jobs a day, and a file is uploaded from disk.
LOAD_ROWS = 500_000
VERIFY_IDS = 10_000


#: The condition that a row of the table (its name, and a point) is on one of the days in question.
Bound = Callable[[Table, str], str]
#: Gives the id that a job must have, while which nobody else sends one into its table.
Fence = Callable[[], AbstractContextManager[str | None]]


@contextmanager
def _no_fence() -> Iterator[None]:
    """Any id, beside whatever else is sent."""
    yield None


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One dataset of the client's project, and the tables of ours that are in it."""

    client: Client
    dataset: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> str:
        """``project.dataset.name``. Raises ValueError for names that BigQuery does not allow."""
        return table_id(self.client.project, self.dataset, name)

    def sql(self, template: str) -> str:
        """A statement with the tables' full names in place of ``{user_events}`` and so on."""
        return template.format(**{table.name: self.table(table.name) for table in self.tables})

    def run(self, template: str, parameters: Sequence[Any] = ()) -> Any:
        """The rows of one statement. Raises what ``resources.bigquery.run`` does."""
        return run(self.client, self.sql(template), parameters)

    def ensure(self) -> None:
        """Create the dataset and the tables where they are missing, and columns that are new.

        A column that is added to a table which has rows can only be nullable. What is there needs
        no right to create it.
        """
        from google.api_core.exceptions import NotFound
        from google.cloud import bigquery

        try:
            self.client.get_dataset(self.dataset, timeout=REQUEST_TIMEOUT)
        except NotFound:
            self.client.create_dataset(self.dataset, exists_ok=True, timeout=REQUEST_TIMEOUT)
        for table in self.tables:
            made = bigquery.Table(self.table(table.name), schema=schema_fields(table.columns))
            made.description = table.description
            made.time_partitioning = _partitioning(table)
            made.clustering_fields = list(table.cluster) or None
            try:
                found = self.client.get_table(made.reference, timeout=REQUEST_TIMEOUT)
            except NotFound:
                found = self.client.create_table(made, exists_ok=True, timeout=REQUEST_TIMEOUT)
            known = {field.name for field in found.schema}
            for one in (one for one in table.columns if one.name not in known):
                where = {"table": self.table(table.name), "column": one.name}
                run(self.client, ADD_COLUMN.format(**where, string=_sql_type(one)))


@dataclass(frozen=True, slots=True)
class Staged:
    """What a batch loaded into a staging table."""

    rows: int = 0
    loads: int = 0


def staging_of(table: Table, *further: Column) -> Table:
    """The table's staging table; Parquet says of no column that it is required."""
    made = table.staging(*further)
    return replace(made, columns=tuple(replace(one, nullable=True) for one in made.columns))


def _sql_type(column: Column) -> str:
    """The type as statements spell it. Raises KeyError for a type that BigQuery does not have."""
    spelled = SPELLED[column.type.removesuffix("[]")].replace("FLOAT", "FLOAT64")
    if column.fields:
        fields = ", ".join(f"`{one.name}` {_sql_type(one)}" for one in column.fields)
        spelled = f"STRUCT<{fields}>"
    return f"ARRAY<{spelled}>" if column.type.endswith("[]") else spelled


def schema_fields(columns: Iterable[Column]) -> list[SchemaField]:
    """The columns as BigQuery declares them. Raises KeyError for a type that it does not have."""
    from google.cloud.bigquery import SchemaField

    return [
        SchemaField(
            column.name,
            SPELLED[column.type.removesuffix("[]")],
            _mode(column),
            description=column.description,
            fields=schema_fields(column.fields),
        )
        for column in columns
    ]


def load_config(staging: Table, *, first: bool = True) -> LoadJobConfig:
    """How Parquet is loaded into a staging table; the first file replaces what is there.

    It replaces the table's schema, too, descriptions included.
    """
    from google.cloud.bigquery import LoadJobConfig, SourceFormat, WriteDisposition
    from google.cloud.bigquery.format_options import ParquetOptions

    options = ParquetOptions()
    options.enable_list_inference = True  # a Parquet list is a REPEATED field, not list.element
    config = LoadJobConfig(
        schema=schema_fields(staging.columns),
        source_format=SourceFormat.PARQUET,
        write_disposition=(
            WriteDisposition.WRITE_TRUNCATE if first else WriteDisposition.WRITE_APPEND
        ),
    )
    config.parquet_options = options
    return config


def stage(
    warehouse: Warehouse,
    staging: Table,
    chunks: Iterable[pl.DataFrame],
    *,
    batch_id: str,
    refused: Callable[[pl.DataFrame, str], None] | None = None,
    fence: Fence = _no_fence,
) -> Staged:
    """Load the chunks, which have all of ``staging``'s columns but the batch, in place of the last.

    Each job is sent within ``fence``. Nothing is loaded, nor removed, when there is no row.
    ``refused`` is given each row that BigQuery refuses while it takes others, and its words. Raises
    google.api_core.exceptions errors.
    """
    from landing.batch.parquet import read_frames

    loads = _Loads(warehouse, staging, fence)
    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refused)
    for file, rows in _files(chunks, staging, batch_id):
        try:
            loads.load(file, rows)
            isolating.got_through()
        except Exception as error:
            if refused is None or refusal(error) is None:
                raise
            for group in read_frames(file):
                isolating.write(group, loads.load_frame)
    isolating.settle()
    return Staged(loads.rows, loads.loads)


def load_apart(
    warehouse: Warehouse,
    staging: Table,
    frames: Iterable[pl.DataFrame],
    refused: Callable[[pl.DataFrame, str], None],
    *,
    fence: Fence = _no_fence,
) -> None:
    """Load the frames, of the staging table's columns, in place of what it holds.

    A job for each frame, and as many more as it takes to find the rows that BigQuery refuses, of
    which ``refused`` is told: for what it has refused as a whole. Raises as :func:`stage` does.
    """
    loads = _Loads(warehouse, staging, fence)
    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refused)
    for frame in frames:
        isolating.write(frame.select(staging.names), loads.load_frame)
    isolating.settle()


class _Loads:
    """The load jobs of one batch, the first of which empties the table."""

    def __init__(self, warehouse: Warehouse, staging: Table, fence: Fence) -> None:
        self._warehouse, self._staging, self._fence = warehouse, staging, fence
        self.rows = self.loads = 0

    def load(self, file: BinaryIO, rows: int) -> None:
        """One job; nothing of a file is loaded when it fails."""
        with self._fence() as job_id:
            _load(file, self._warehouse, self._staging, job_id, first=not self.loads)
        self.rows, self.loads = self.rows + rows, self.loads + 1

    def load_frame(self, frame: pl.DataFrame) -> None:
        """The same for rows of a file."""
        with tempfile.TemporaryFile() as file:
            frame.write_parquet(file)
            file.seek(0)
            self.load(file, frame.height)


def refusal(error: Exception) -> Refusal | None:
    """What BigQuery says of rows: docs.cloud.google.com/bigquery/docs/error-messages, "invalid"."""
    from google.api_core.exceptions import BadRequest

    details = [one for one in getattr(error, "errors", None) or () if isinstance(one, dict)]
    if not isinstance(error, BadRequest) or classify(error) == "transient":
        return None
    if not any(one.get("reason") in _OF_ROWS for one in details):
        return None
    return Refusal("; ".join(str(one.get("message")) for one in details[:3]))


def insert_statement(table: Table, source: str, bound: Bound | None = None) -> str:
    """The template of a merge that adds those rows of the query ``source`` whose key is not there.

    ``source`` has all of the table's columns, and one row per key. Days are those of ``bound``, by
    default as in `merge_statement`.
    """
    columns = ", ".join(table.names)
    values = ", ".join(f"s.{name}" for name in table.names)
    return f"""
MERGE `{{{table.name}}}` AS t
USING ({source}) AS s
ON {same_row(table, bound)}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})
"""


def same_row(table: Table, bound: Bound | None = None) -> str:
    """The condition that row ``t`` of the table, on one of ``@days``, has the key of row ``s``."""
    keys = [f"t.{name} = s.{name}" for name in table.key]
    return " AND ".join([*keys, *([(bound or within)(table, "t.")] if table.partition else [])])


def within(table: Table, row: str = "", *, days: str = "@days") -> str:
    """The condition that a row of the table is on one of ``days``; always true without days."""
    if not table.partition:
        return "TRUE"
    return f"TIMESTAMP_TRUNC({row}{table.partition}, DAY) IN UNNEST({days})"


def between(table: Table, row: str = "") -> str:
    """As :func:`within` of days without a gap, ``@first`` to that before ``@after``.

    It costs two comparisons a row, not a search.
    """
    if not table.partition:
        return "TRUE"
    return f"{row}{table.partition} >= @first AND {row}{table.partition} < @after"


def hashes_statement(table: Table) -> str:
    """The template that counts the copies of every key and hash among ``@ids``, on ``@days``."""
    (key,) = table.key
    return f"""
SELECT {key} AS key, {ROW_HASH.name} AS row_hash, COUNT(*) AS copies
FROM `{{{table.name}}}`
WHERE {key} IN UNNEST(@ids) AND {within(table)}
GROUP BY key, row_hash
"""


def agreement_statement(table: Table, staging: Table, newest: Sequence[str]) -> str:
    """The template that counts a batch's staged keys, and those that are there once, with the hash.

    Days and order as in `merge_statement`.
    """
    (key,) = table.key
    order = ", ".join(f"{name} DESC" for name in newest)
    return f"""
SELECT COUNT(*) AS staged, COUNTIF(t.copies = 1 AND t.row_hash = s.row_hash) AS there
FROM (
    SELECT {key} AS key, {ROW_HASH.name} AS row_hash
    FROM `{{{staging.name}}}`
    WHERE batch_id = @batch_id
    QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {order}) = 1
) AS s
LEFT JOIN (
    SELECT {key} AS key, MIN({ROW_HASH.name}) AS row_hash, COUNT(*) AS copies
    FROM `{{{table.name}}}`
    WHERE {within(table)}
        AND {key} IN (SELECT {key} FROM `{{{staging.name}}}` WHERE batch_id = @batch_id)
    GROUP BY {key}
) AS t ON t.key = s.key
"""


def verify_staged(
    warehouse: Warehouse,
    table: Table,
    staging: Table,
    rows: Callable[[], Iterable[pl.DataFrame]],
    *,
    batch_id: str,
    newest: Sequence[str],
) -> Verification:
    """As :func:`verify`, of a batch that has just been merged, by one join with its staged rows.

    ``rows`` gives what was staged, one row per key. Where the counts differ each row is asked for.
    """
    from google.cloud.bigquery import ScalarQueryParameter

    expected, days = 0, set[datetime]()
    for chunk in rows():
        expected += chunk.height
        if table.partition:
            days |= {*chunk[table.partition].dt.truncate("1d").unique()}
    if not expected:
        return Verification()
    batch = ScalarQueryParameter(BATCH_ID.name, "STRING", batch_id)
    statement = agreement_statement(table, staging, newest)
    (found,) = warehouse.run(statement, [batch, *days_parameter(table, sorted(days))])
    if found.staged == found.there == expected:
        return Verification(expected)
    return verify(warehouse, table, rows())


def verify(warehouse: Warehouse, table: Table, chunks: Iterable[pl.DataFrame]) -> Verification:
    """Every row is there once, on its day if the table has days, with its hash."""
    from google.cloud.bigquery import ArrayQueryParameter

    (key,) = table.key
    kind, statement = SPELLED[table.column(key).type], hashes_statement(table)
    total = Verification()
    for chunk in chunks:
        for rows in chunk.iter_slices(VERIFY_IDS):
            expected = dict(rows.select(key, ROW_HASH.name).iter_rows())
            day = rows[table.partition].dt.truncate("1d") if table.partition else None
            days = day.unique().sort().to_list() if day is not None else []
            ids = ArrayQueryParameter("ids", kind, list(expected))
            found: dict[str, str] = {}
            for row in warehouse.run(statement, [ids, *days_parameter(table, days)]):
                once = row.copies == 1 and row.key not in found
                found[row.key] = row.row_hash if once else "several rows"
            total = total.plus(compared(expected, found))
    return total


def _partitioning(table: Table) -> TimePartitioning | None:
    from google.cloud.bigquery import TimePartitioning

    if not table.partition:
        return None
    return TimePartitioning(
        type_="HOUR" if table.partition == INGESTION_HOUR else "DAY",
        field=None if table.partition == INGESTION_HOUR else table.partition,
        expiration_ms=int(table.kept.total_seconds() * 1000) if table.kept else None,
    )


def _mode(column: Column) -> str:
    if column.type.endswith("[]"):
        return "REPEATED"
    return "NULLABLE" if column.nullable else "REQUIRED"


def days_parameter(table: Table, days: Sequence[datetime]) -> list[Any]:
    """``@days``, for a table that has partitions."""
    from google.cloud.bigquery import ArrayQueryParameter

    return [ArrayQueryParameter("days", "TIMESTAMP", list(days))] if table.partition else []


def _files(
    chunks: Iterable[pl.DataFrame], staging: Table, batch_id: str
) -> Iterator[tuple[BinaryIO, int]]:
    """The chunks as Parquet files of at most about LOAD_ROWS rows, and their rows.

    Each file is removed when the next is asked for.
    """
    import pyarrow.parquet as pq

    pending = (_staged(chunk, staging, batch_id) for chunk in chunks if not chunk.is_empty())
    while (table := next(pending, None)) is not None:
        rows = 0
        with tempfile.TemporaryFile() as file:
            with pq.ParquetWriter(file, table.schema, compression="zstd") as writer:
                while table is not None:
                    writer.write_table(table)
                    rows += table.num_rows
                    table = next(pending, None) if rows < LOAD_ROWS else None
            file.seek(0)
            yield file, rows


def _staged(chunk: pl.DataFrame, staging: Table, batch_id: str) -> Any:
    """The chunk as an Arrow table of the staging table's columns."""
    import polars as pl

    frame = chunk.with_columns(pl.lit(batch_id).alias(BATCH_ID.name)).select(staging.names)
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _load(
    file: BinaryIO, warehouse: Warehouse, staging: Table, job_id: str | None, *, first: bool
) -> None:
    job = warehouse.client.load_table_from_file(
        file,
        warehouse.table(staging.name),
        job_id=job_id,
        job_config=load_config(staging, first=first),
        timeout=REQUEST_TIMEOUT,
        num_retries=UPLOAD_RETRIES,
    )
    job.result(timeout=JOB_TIMEOUT)
