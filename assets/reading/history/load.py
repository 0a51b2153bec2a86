"""History in BigQuery: staged rows are loaded as they lie, then merged, each event and pair once.

Belongs here: the statements, their order, what is verified. Does not: which rows there are
(``validation.py``), the fence (``merges.py``), who is told of what changed (``changes.py``).

A load job replaces the staging table by the batch in one step; the executor lets one batch of
history write at a time. A kill before the MERGE changes nothing that is read, and one behind it
leaves rows that the next attempt finds and counts as its own, for they name their object version.
Sources are made unique by GROUP BY, since BigQuery cannot partition a window by a FLOAT64.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from assets.reading.changes import note_changed_contents, note_changed_days
from assets.reading.merges import location_of, run_merge
from assets.reading.warehouse import (
    INTERACTIONS,
    INTERACTIONS_HISTORY,
    META,
    META_HISTORY,
    TABLES,
    Warehouse,
)
from assets.sinks.result import SAMPLE, SinkResult, Verification
from landing.batch.failures import TransientError
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT, run

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from landing.batch.staging import StagedPart

    Connection = psycopg.Connection[Any]

#: Rows by day; categories have none.
STAGED_DAYS = """
SELECT TIMESTAMP_TRUNC(updated_at, DAY) AS day, COUNT(*) AS staged
FROM `{user_interaction_history}`
GROUP BY day
ORDER BY day
"""

_EVENTS = """
    SELECT user_id, content_id, read_percent, updated_at,
        MIN(source) AS source, MIN(ingested_at) AS ingested_at
    FROM `{user_interaction_history}`
    WHERE updated_at IS NOT NULL
    GROUP BY user_id, content_id, read_percent, updated_at
"""
# The days hold every place where an event may be: no other partition is read.
_SAME_EVENT = """
    t.user_id = s.user_id AND t.content_id = s.content_id AND t.read_percent = s.read_percent
    AND t.updated_at = s.updated_at AND TIMESTAMP_TRUNC(t.updated_at, DAY) IN UNNEST(@days)
"""
MERGE_EVENTS = f"""
MERGE `{{user_interaction}}` AS t
USING ({_EVENTS}) AS s
ON {_SAME_EVENT}
WHEN NOT MATCHED THEN INSERT
    (user_id, content_id, read_percent, updated_at, source, ingested_at)
    VALUES (s.user_id, s.content_id, s.read_percent, s.updated_at, s.source, s.ingested_at)
"""
# Of staged rows, not of events: a row that joins one row has its event there, and there once.
CHECK_EVENTS = f"""
SELECT TIMESTAMP_TRUNC(s.updated_at, DAY) AS day, COUNT(*) AS found,
    COUNTIF(t.user_id IS NULL) AS missing
FROM `{{user_interaction_history}}` AS s
LEFT JOIN `{{user_interaction}}` AS t ON {_SAME_EVENT}
WHERE s.updated_at IS NOT NULL
GROUP BY day
ORDER BY day
"""
GAINED_EVENTS = """
SELECT DATE(updated_at) AS day, COUNT(*) AS events
FROM `{user_interaction}`
WHERE TIMESTAMP_TRUNC(updated_at, DAY) IN UNNEST(@days)
    AND source IN (SELECT DISTINCT source FROM `{user_interaction_history}`)
GROUP BY day
ORDER BY day
"""
MISSING_EVENTS = f"""
SELECT s.user_id, s.content_id, s.read_percent, s.updated_at
FROM ({_EVENTS}) AS s
LEFT JOIN `{{user_interaction}}` AS t ON {_SAME_EVENT}
WHERE t.user_id IS NULL
ORDER BY s.updated_at, s.user_id
LIMIT {SAMPLE}
"""

_CATEGORIES = """
    SELECT content_id, category_name, MIN(source) AS source, MIN(ingested_at) AS ingested_at
    FROM `{content_meta_history}`
    GROUP BY content_id, category_name
"""
_SAME_CATEGORY = "t.content_id = s.content_id AND t.category_name = s.category_name"
MERGE_CATEGORIES = f"""
MERGE `{{content_meta}}` AS t
USING ({_CATEGORIES}) AS s
ON {_SAME_CATEGORY}
WHEN NOT MATCHED THEN INSERT (content_id, category_name, source, ingested_at)
    VALUES (s.content_id, s.category_name, s.source, s.ingested_at)
"""
CHECK_CATEGORIES = f"""
SELECT COUNT(*) AS found, COUNTIF(t.content_id IS NULL) AS missing
FROM `{{content_meta_history}}` AS s
LEFT JOIN `{{content_meta}}` AS t ON {_SAME_CATEGORY}
"""
#: Contents, and how many categories each of them gained by this batch.
GAINED_CONTENTS = """
SELECT content_id, COUNT(*) AS categories
FROM `{content_meta}`
WHERE source IN (SELECT DISTINCT source FROM `{content_meta_history}`)
GROUP BY content_id
ORDER BY content_id
"""


def write_events(
    warehouse: Warehouse, conn: Connection, bucket: str, parts: Sequence[StagedPart]
) -> tuple[SinkResult, Verification]:
    """Load the staged parts from the bucket, merge their events, read back, note changed days.

    ``conn`` is in autocommit mode. ``rows_written`` are the events that the batch brought,
    ``unchanged`` its other rows: there already, or repeated. ``details``: rows, days. Raises
    what merges.run_merge does, TransientError when BigQuery has other rows than were staged.
    """
    started = time.monotonic()
    warehouse.ensure()
    _load_parts(warehouse, bucket, parts)
    staged = {row.day: row.staged for row in run(warehouse.client, warehouse.sql(STAGED_DAYS))}
    expected = sum(part.rows for part in parts)
    if sum(staged.values()) != expected:
        raise TransientError(f"{sum(staged.values())} rows were loaded of {expected} staged ones")
    rows = expected - staged.pop(None, 0)
    if not rows:
        return SinkResult(0, 0, 0, time.monotonic() - started), Verification()
    days = _days(staged)
    inserted = _merge(warehouse, conn, INTERACTIONS, MERGE_EVENTS, [days])
    merged = time.monotonic() - started
    checked = list(run(warehouse.client, warehouse.sql(CHECK_EVENTS), [days]))
    found = Verification(
        expected=rows,
        missing=sum(row.missing for row in checked),
        unexpected=sum(abs(row.found - staged.get(row.day, 0)) for row in checked),
    )
    if found.missing:
        sample = run(warehouse.client, warehouse.sql(MISSING_EVENTS), [days])
        found = found.plus(Verification(sample=tuple(str(row.values()) for row in sample)))
    gained = {day.date(): count for day, count in staged.items()}
    if inserted != rows:  # some were there before, or this is another attempt
        found_rows = run(warehouse.client, warehouse.sql(GAINED_EVENTS), [days])
        gained = {row.day: row.events for row in found_rows}
    with conn.transaction():
        note_changed_days(conn, gained)
    new = sum(gained.values())
    details = {
        "rows": rows,
        "days": len(staged),
        "changed_days": len(gained),
        "merged_seconds": round(merged, 3),
    }
    return SinkResult(new, rows - new, 0, time.monotonic() - started, details), found


def write_categories(
    warehouse: Warehouse, conn: Connection, chunks: Iterable[pl.DataFrame]
) -> tuple[SinkResult, Verification]:
    """Load the categories among the staged rows, merge them, read back, note changed contents.

    As :func:`write_events`; ``details``: rows, changed contents.
    """
    started = time.monotonic()
    warehouse.ensure()
    rows = _load_categories(warehouse, chunks)
    if not rows:
        return SinkResult(0, 0, 0, time.monotonic() - started), Verification()
    _merge(warehouse, conn, META, MERGE_CATEGORIES, [])
    (checked,) = run(warehouse.client, warehouse.sql(CHECK_CATEGORIES))
    found = Verification(rows, checked.missing, unexpected=abs(checked.found - rows))
    gained = {
        row.content_id: row.categories
        for row in run(warehouse.client, warehouse.sql(GAINED_CONTENTS))
    }
    with conn.transaction():
        note_changed_contents(conn, gained)
    new = sum(gained.values())
    details = {"rows": rows, "changed_contents": len(gained)}
    return SinkResult(new, rows - new, 0, time.monotonic() - started, details), found


def _load_parts(warehouse: Warehouse, bucket: str, parts: Sequence[StagedPart]) -> None:
    """Make the staging table hold the parts and nothing else; BigQuery fetches them itself."""
    table = warehouse.table(INTERACTIONS_HISTORY)
    job = warehouse.client.load_table_from_uri(
        [f"gs://{bucket}/{part.key}" for part in parts],
        table,
        job_config=_config(INTERACTIONS_HISTORY),
        location=location_of(warehouse.client, table),
        timeout=REQUEST_TIMEOUT,
    )
    job.result(timeout=JOB_TIMEOUT)


def _load_categories(warehouse: Warehouse, chunks: Iterable[pl.DataFrame]) -> int:
    """As :func:`_load_parts`, of the categories only: most batches of events have none."""
    import polars as pl
    import pyarrow.parquet as pq

    rows = 0
    writer = None
    table = warehouse.table(META_HISTORY)
    with tempfile.TemporaryFile(prefix="quintet-") as file:
        for chunk in chunks:
            found = chunk.filter(pl.col("category_name").is_not_null())
            if found.is_empty():
                continue
            data = found.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(file, data.schema, compression="zstd")
            writer.write_table(data)
            rows += len(found)
        if writer is None:
            return 0
        writer.close()
        job = warehouse.client.load_table_from_file(
            cast("BinaryIO", file),
            table,
            rewind=True,
            job_config=_config(META_HISTORY),
            location=location_of(warehouse.client, table),
            timeout=REQUEST_TIMEOUT,
        )
        job.result(timeout=JOB_TIMEOUT)
    return rows


def _config(table: str) -> Any:
    from google.cloud.bigquery import LoadJobConfig, SchemaField, SourceFormat, WriteDisposition

    return LoadJobConfig(
        # The job replaces the table's schema, too, descriptions included.
        schema=[
            SchemaField(name, kind, mode, description=text)
            for name, kind, mode, text in TABLES[table].columns
        ],
        source_format=SourceFormat.PARQUET,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
    )


def _merge(
    warehouse: Warehouse, conn: Connection, table: str, sql: str, parameters: Sequence[Any]
) -> int:
    return run_merge(warehouse.client, conn, warehouse.table(table), warehouse.sql(sql), parameters)


def _days(staged: Iterable[datetime]) -> Any:
    from google.cloud.bigquery import ArrayQueryParameter

    return ArrayQueryParameter("days", "TIMESTAMP", sorted(staged))
