"""The tables of the reading pipeline in BigQuery: names, columns, partitions, clusters.

Belongs here: what there is, and making it. Does not: any statement over it (the module of the
concept). Partitions bound what a statement reads: every statement names the days it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from resources.bigquery import REQUEST_TIMEOUT, table_id

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

INTERACTIONS_RAW = "user_interaction_raw"
INTERACTIONS = "user_interaction"
INTERACTIONS_HISTORY = "user_interaction_history"
META_RAW = "content_meta_raw"
META = "content_meta"
META_HISTORY = "content_meta_history"
DAILY_COUNTS = "daily_category_counts"
SHARES = "user_category_shares"

#: Name, type, mode and description of a column.
Column = tuple[str, str, str, str]

EVENT: tuple[Column, ...] = (
    ("user_id", "INTEGER", "REQUIRED", "Reader; 64 bits, may be negative"),
    ("content_id", "INTEGER", "REQUIRED", "What was read; 64 bits, may be negative"),
    ("read_percent", "FLOAT", "REQUIRED", "How much of it, in percent; above 100 occurs"),
    ("updated_at", "TIMESTAMP", "REQUIRED", "When, UTC; midnight when only the day is known"),
)
CATEGORY: tuple[Column, ...] = (
    ("content_id", "INTEGER", "REQUIRED", "What is categorised; 64 bits, may be negative"),
    ("category_name", "STRING", "REQUIRED", "One of its categories"),
)
_MESSAGE: tuple[Column, ...] = (
    ("message_id", "STRING", "REQUIRED", "Pub/Sub's id of the message"),
    ("publish_time", "TIMESTAMP", "REQUIRED", "When Pub/Sub took the message, UTC"),
    ("ordering_key", "STRING", "NULLABLE", "The publisher's ordering key"),
    ("attributes", "STRING", "NULLABLE", "The message's attributes, a JSON object"),
)
_APPENDED: tuple[Column, ...] = (
    ("session_id", "STRING", "REQUIRED", "The session that appended the row"),
    ("micro_batch", "STRING", "REQUIRED", "The micro-batch with which it was merged"),
    ("appended_at", "TIMESTAMP", "REQUIRED", "When the session appended it, UTC"),
)
_MERGED: tuple[Column, ...] = (
    ("source", "STRING", "REQUIRED", "message:<id>, or the object version it came in"),
    ("ingested_at", "TIMESTAMP", "REQUIRED", "When the row came in, UTC"),
)
#: As history files are staged: rows of both kinds, nulls in the columns of the other one. Parquet
#: says of no column that it is required.
_STAGED: tuple[Column, ...] = tuple(
    (name, kind, "NULLABLE", text)
    for name, kind, _, text in (
        *EVENT,
        CATEGORY[1],
        ("seq", "INTEGER", "", "The object version's place in the ledger"),
        ("line", "INTEGER", "", "The row's line in the object"),
        *_MERGED,
    )
)
_EVENTS: Column = ("events", "INTEGER", "REQUIRED", "Pairs of an event and a category")


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table. ``partition`` is the column whose days are partitions."""

    name: str
    description: str
    columns: tuple[Column, ...]
    partition: str | None = None
    cluster: tuple[str, ...] = field(default=())


TABLES: Mapping[str, TableSpec] = {
    spec.name: spec
    for spec in (
        TableSpec(
            INTERACTIONS_RAW,
            "Every accepted message of user-interaction, at least once, as it was appended.",
            (*_MESSAGE, *EVENT, *_APPENDED),
            partition="publish_time",
            cluster=("micro_batch",),
        ),
        TableSpec(
            INTERACTIONS,
            "One row per reading event, whatever brought it and however often.",
            (*EVENT, *_MERGED),
            partition="updated_at",
            cluster=("user_id",),
        ),
        TableSpec(
            INTERACTIONS_HISTORY,
            "The last batch of history files, on its way into user_interaction.",
            _STAGED,
        ),
        TableSpec(
            META_RAW,
            "Every accepted message of content-meta, at least once, as it was appended.",
            (*_MESSAGE, *CATEGORY, *_APPENDED),
            partition="publish_time",
            cluster=("micro_batch",),
        ),
        TableSpec(
            META,
            "The categories of contents, each pair once.",
            (*CATEGORY, *_MERGED),
            cluster=("content_id",),
        ),
        TableSpec(
            META_HISTORY,
            "The last batch of history files with categories, on its way into content_meta.",
            _STAGED,
        ),
        TableSpec(
            DAILY_COUNTS,
            "Per day, user and category: events read beyond 90 percent.",
            (
                ("day", "DATE", "REQUIRED", "UTC day of the events"),
                ("user_id", "INTEGER", "REQUIRED", "Reader"),
                ("category_name", "STRING", "REQUIRED", "Category of the contents"),
                _EVENTS,
            ),
            partition="day",
            cluster=("user_id",),
        ),
        TableSpec(
            SHARES,
            "Per query date: each user's share of categories in the two weeks up to it.",
            (
                ("query_date", "DATE", "REQUIRED", "Last day of the window"),
                ("user_id", "INTEGER", "REQUIRED", "Reader"),
                ("category_name", "STRING", "REQUIRED", "Category of the contents"),
                _EVENTS,
                ("share", "FLOAT", "REQUIRED", "Of the user's pairs in the window, 0 to 1"),
            ),
            partition="query_date",
            cluster=("user_id",),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Warehouse:
    """One dataset of the client's project."""

    client: Client
    dataset: str

    def table(self, name: str) -> str:
        """``project.dataset.name``. Raises ValueError for names that BigQuery does not allow."""
        return table_id(self.client.project, self.dataset, name)

    def sql(self, template: str) -> str:
        """A statement with the tables' full names in place of ``{user_interaction}`` and so on."""
        return template.format(**{name: self.table(name) for name in TABLES})

    def ensure(self) -> None:
        """Create the dataset and the tables where they are missing."""
        from google.cloud.bigquery import SchemaField, Table, TimePartitioning

        self.client.create_dataset(self.dataset, exists_ok=True, timeout=REQUEST_TIMEOUT)
        for spec in TABLES.values():
            schema = [
                SchemaField(name, kind, mode=mode, description=text)
                for name, kind, mode, text in spec.columns
            ]
            table = Table(self.table(spec.name), schema=schema)
            table.description = spec.description
            if spec.partition:
                table.time_partitioning = TimePartitioning(field=spec.partition)
            table.clustering_fields = list(spec.cluster) or None
            self.client.create_table(table, exists_ok=True, timeout=REQUEST_TIMEOUT)


def column_schema(table: str) -> dg.TableSchema:
    """Columns of one of the pipeline's tables, for ``dagster/column_schema``."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                kind,
                description=text,
                constraints=dg.TableColumnConstraints(nullable=mode != "REQUIRED"),
            )
            for name, kind, mode, text in TABLES[table].columns
        ]
    )
