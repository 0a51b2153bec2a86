"""A batch's rows merged into a BigQuery table, one row per key.

Belongs here: the statement, within what BigQuery lets one do. Does not: the staging table and what
loads it, reading back (``bigquery.py``).
Source of the limits: https://cloud.google.com/bigquery/quotas
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from assets.frame.tables import BATCH_ID, Table
from assets.sinks.bigquery import SPELLED, Warehouse, days_parameter, same_row, within

if TYPE_CHECKING:
    import polars as pl

#: Up to so many rows and bytes go with the statement that merges them: a batch a minute would use
#: up a day's load jobs. BigQuery takes 10,000 parameters and 10 MB a request; statements that
#: change rows are not counted.
STATEMENT_ROWS, STATEMENT_BYTES = 500, 512 * 1024
#: Days that one statement writes rows of: BigQuery lets a job change 4,000 partitions, and a row
#: that it moves leaves another one.
STATEMENT_DAYS = 2_000
#: A table has 10,000 partitions at most; the rest is for the days to come.
MOST_DAYS = 9_000


def merge(
    warehouse: Warehouse,
    table: Table,
    staging: Table,
    *,
    batch_id: str,
    newest: Sequence[str],
    days: Sequence[datetime] = (),
) -> None:
    """Merge what the batch staged; ``days``, in order, are for a table with partitions.

    One statement, or as many as their days take. Killed between two, the next attempt merges all.
    """
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    parameters = [
        ScalarQueryParameter(BATCH_ID.name, "STRING", batch_id),
        *days_parameter(table, days),
    ]
    if len(days) <= STATEMENT_DAYS:
        warehouse.run(merge_statement(table, staging, newest), parameters)
        return
    statement = merge_statement(table, staging, newest, some_days=True)
    for at in range(0, len(days), STATEMENT_DAYS):
        own = list(days[at : at + STATEMENT_DAYS])
        of_own = ArrayQueryParameter("own_days", "TIMESTAMP", own)
        warehouse.run(statement, [*parameters, of_own])


def merge_rows(
    warehouse: Warehouse,
    table: Table,
    staging: Table,
    rows: pl.DataFrame,
    *,
    newest: Sequence[str],
    days: Sequence[datetime] = (),
) -> None:
    """Merge a few rows, which have the staging table's columns but the batch, without staging them.

    Raises google.api_core.exceptions errors.
    """
    from google.cloud import bigquery

    kinds = {
        column.name: SPELLED[column.type].replace("INTEGER", "INT64").replace("FLOAT", "FLOAT64")
        for column in staging.columns
        if column.name in rows.columns
    }
    structs = [
        bigquery.StructQueryParameter(
            None,
            *(bigquery.ScalarQueryParameter(name, kind, row[name]) for name, kind in kinds.items()),
        )
        for row in rows.iter_rows(named=True)
    ]
    given = bigquery.ArrayQueryParameter("rows", "STRUCT", structs)
    warehouse.run(statement_of_rows(table, newest), [given, *days_parameter(table, days)])


def few(
    chunks: Iterable[pl.DataFrame], table: Table
) -> tuple[pl.DataFrame | None, Iterable[pl.DataFrame]]:
    """All rows where a statement can take them, else None; and the chunks, none of them used up."""
    import polars as pl

    seen: list[pl.DataFrame] = []
    rows = size = 0
    left = iter(chunks)
    for chunk in left:
        seen.append(chunk)
        rows, size = rows + chunk.height, size + int(chunk.estimated_size())
        days = chunk[table.partition].dt.date().n_unique() if table.partition else 0
        if rows > STATEMENT_ROWS or size > STATEMENT_BYTES or days > STATEMENT_DAYS:
            return None, chain(seen, left)
    return (pl.concat(seen) if rows else None), seen


def merge_statement(
    table: Table, staging: Table, newest: Sequence[str], *, some_days: bool = False
) -> str:
    """The template of the merge of a batch: of rows with one key, the last by ``newest``.

    With partitions, ``@days`` hold every place where a row of one of the keys may be: no other
    partition is read; with ``some_days`` only the rows of ``@own_days`` are merged. The source is
    made unique here, since a second row for a key would fail it.
    """
    source = f"""
    SELECT {", ".join(table.names)}
    FROM `{{{staging.name}}}`
    WHERE batch_id = @batch_id
    QUALIFY {_newest(table, newest)} = 1
"""
    if some_days:
        own = within(table, days="@own_days")
        source = f"SELECT * FROM ({source}) WHERE {own}"
    return _merge(table, source)


def statement_of_rows(table: Table, newest: Sequence[str]) -> str:
    """The same of ``@rows``, an array of structs of the staging table's columns."""
    columns = ", ".join(f"r.{name}" for name in table.names)
    return _merge(table, f"SELECT {columns} FROM UNNEST(@rows) AS r QUALIFY"
                  f" {_newest(table, newest, 'r.')} = 1")  # fmt: skip


def _newest(table: Table, newest: Sequence[str], row: str = "") -> str:
    keys = ", ".join(f"{row}{name}" for name in table.key)
    order = ", ".join(f"{row}{name} DESC" for name in newest)
    return f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order})"


def _merge(table: Table, source: str) -> str:
    columns = ", ".join(table.names)
    changes = ", ".join(f"{name} = s.{name}" for name in table.names if name not in table.key)
    values = ", ".join(f"s.{name}" for name in table.names)
    return f"""
MERGE `{{{table.name}}}` AS t
USING ({source}) AS s
ON {same_row(table)}
WHEN MATCHED THEN UPDATE SET {changes}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})
"""
