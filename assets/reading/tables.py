"""The tables of reading in BigQuery, each declared once.

Belongs here: columns, keys, partitions, where values come from. Does not: what a value must be
(``rules.py``), any statement (the module of the concept). Partitions bound what a statement reads:
every statement names the days it needs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from assets.frame.tables import INGESTED_AT, LINE, SEQ, SOURCE, Column, Table
from assets.sinks.bigquery import INGESTION_HOUR, Warehouse, staging_of

if TYPE_CHECKING:
    from google.cloud.bigquery import Client

PIPELINE = "reading"

_CONTENT_ID = Column(
    "content_id", "bigint", "What was read; 64 bits, may be negative", nullable=False
)
#: A reading event; all of it together is its identity.
EVENT = (
    Column("user_id", "bigint", "Reader; 64 bits, may be negative", nullable=False),
    _CONTENT_ID,
    Column("read_percent", "double precision", "How much of it, in percent; above 100 occurs",
           nullable=False, minimum=0),
    Column("updated_at", "timestamptz", "When, UTC; midnight when only the day is known",
           nullable=False),
)  # fmt: skip
#: A category of a content; both together are its identity.
CATEGORY = (
    _CONTENT_ID.named("content_id", "What is categorised; 64 bits, may be negative"),
    Column("category_name", "text", "One of its categories", nullable=False),
)
_MESSAGE = (
    Column("message_id", "text", "Pub/Sub's id of the message", nullable=False),
    Column("publish_time", "timestamptz", "When Pub/Sub took the message, UTC", nullable=False),
    Column("ordering_key", "text", "The publisher's ordering key"),
    Column("attributes", "text", "The message's attributes, a JSON object"),
)
_APPENDED = (
    Column("session_id", "text", "The session that appended the row", nullable=False),
    Column("micro_batch", "text", "The micro-batch with which it was merged", nullable=False),
    Column("appended_at", "timestamptz", "When the session appended it, UTC", nullable=False),
)
_MERGED = (
    SOURCE.named("source", "message:<id>, or the object version it came in").required(),
    INGESTED_AT.named("ingested_at", "When the row came in, UTC"),
)
_USER_ID = Column(
    "user_id", "bigint", "Reader", nullable=False, sources=("user_interaction.user_id",)
)
_CATEGORY_NAME = Column(
    "category_name", "text", "Category of the contents", nullable=False,
    sources=("content_meta.category_name",),
)  # fmt: skip
_PAIRS = Column(
    "events", "bigint", "Pairs of an event and a category", nullable=False,
    sources=(
        "user_interaction.content_id", "user_interaction.read_percent", "content_meta.content_id",
    ),
)  # fmt: skip


def _key(columns: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


INTERACTIONS_RAW = Table(
    PIPELINE,
    "user_interaction_raw",
    "Every accepted message of user-interaction, at least once, as it was appended.",
    (),
    (*_MESSAGE, *EVENT, *_APPENDED),
    partition="publish_time",
    cluster=("micro_batch",),
)
INTERACTIONS = Table(
    PIPELINE,
    "user_interaction",
    "One row per reading event, whatever brought it and however often.",
    _key(EVENT),
    (*EVENT, *_MERGED),
    partition="updated_at",
    cluster=("user_id",),
)
META_RAW = Table(
    PIPELINE,
    "content_meta_raw",
    "Every accepted message of content-meta, at least once, as it was appended.",
    (),
    (*_MESSAGE, *CATEGORY, *_APPENDED),
    partition="publish_time",
    cluster=("micro_batch",),
)
META = Table(
    PIPELINE,
    "content_meta",
    "The categories of contents, each pair once.",
    _key(CATEGORY),
    (*CATEGORY, *_MERGED),
    cluster=("content_id",),
)
#: What is read from history files.
HISTORY_FIELDS = (*_key(EVENT), "category_name")
#: As history files are validated: rows of both kinds, nulls in the columns of the other one.
HISTORY_ROWS = Table(
    PIPELINE,
    "history_rows",
    "Valid rows of one batch of history files, staged as Parquet.",
    (),
    tuple(
        replace(one, nullable=True)
        for one in (
            *EVENT,
            CATEGORY[1],
            SEQ.named("seq", "The object version's place in the ledger"),
            LINE.named("line", "The row's line in the object"),
            *_MERGED,
        )
    ),
)
INTERACTIONS_HISTORY = replace(
    HISTORY_ROWS,
    name="user_interaction_history",
    description="The last batch of history files, on its way into user_interaction.",
)
META_HISTORY = replace(
    staging_of(META),
    name="content_meta_history",
    description="The last batch of history files with categories, on its way into content_meta.",
)
DAILY_COUNTS = Table(
    PIPELINE,
    "daily_category_counts",
    "Per day, user and category: events of which enough was read.",
    ("day", "user_id", "category_name"),
    (
        Column("day", "date", "UTC day of the events", nullable=False,
               sources=("user_interaction.updated_at",)),
        _USER_ID,
        _CATEGORY_NAME,
        _PAIRS,
    ),
    partition="day",
    cluster=("user_id",),
)  # fmt: skip
SHARES = Table(
    PIPELINE,
    "user_category_shares",
    "Per query date: each user's share of categories in the two weeks up to it.",
    ("query_date", "user_id", "category_name"),
    (
        Column("query_date", "date", "Last day of the window", nullable=False,
               sources=("daily_category_counts.day",)),
        *(one.read_from("daily_category_counts") for one in (_USER_ID, _CATEGORY_NAME, _PAIRS)),
        Column("share", "double precision", "Of the user's pairs in the window, 0 to 1",
               nullable=False, minimum=0, maximum=1, sources=("daily_category_counts.events",)),
    ),
    partition="query_date",
    cluster=("user_id",),
)  # fmt: skip

#: The columns that a BigQuery subscription writes when it is given no schema:
#: https://cloud.google.com/pubsub/docs/bigquery#properties_subscription
INTERACTIONS_LANDED = Table(
    PIPELINE,
    "user_interaction_landed",
    "Messages as Dataflow or a BigQuery subscription landed them.",
    (),
    (
        Column("data", "text", "The message as it was published"),
        Column("subscription_name", "text",
               "The subscription that it came by; null from Dataflow"),
        Column("message_id", "text", "Pub/Sub's id of the message; null from Dataflow"),
        Column("publish_time", "timestamptz",
               "When Pub/Sub, or Dataflow's worker, took the message"),
        Column("attributes", "text", "The message's attributes, a JSON object"),
    ),
    partition=INGESTION_HOUR,
    # For whoever wants to look.
    kept=timedelta(days=30),
)  # fmt: skip
META_LANDED = replace(INTERACTIONS_LANDED, name="content_meta_landed")

#: What every installation has.
WAREHOUSE = (
    INTERACTIONS_RAW, INTERACTIONS, INTERACTIONS_HISTORY, META_RAW, META, META_HISTORY,
    DAILY_COUNTS, SHARES,
)  # fmt: skip
#: What is there too under managed ingestion, by Dataflow or a BigQuery subscription.
LANDED = (INTERACTIONS_LANDED, META_LANDED)


def warehouse_of(client: Client, dataset: str, *further: Table) -> Warehouse:
    """The dataset of reading, with ``further`` of its tables."""
    return Warehouse(client, dataset, (*WAREHOUSE, *further))
