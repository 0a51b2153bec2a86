"""The tables, collections and indexes that campaigns fill, each declared once.

Belongs here: columns, keys, what each is copied from. Does not: how they are filled (the module of
the sink).
"""

from __future__ import annotations

from assets.frame.tables import (
    BATCH_ID,
    INGESTED_AT,
    LINE,
    ROW_HASH,
    SEQ,
    SOURCE,
    Column,
    Table,
    read_from,
)
from assets.sinks.bigquery import staging_of

PIPELINE = "campaigns"

_RECORD_ID = Column("record_id", "text", "Natural key of the event.", nullable=False)
_USER_ID = Column("user_id", "text", "Who performed it.", nullable=False)
_MESSAGE = Column("message", "text", "What was said; null when empty.")
_CAMPAIGN = Column("campaign", "text", "Campaign it belongs to; null for none.")
_TIMESTAMP = Column("timestamp", "timestamptz", "When it happened.", nullable=False)
#: What an event is; everything else is said of it.
EVENT = (_RECORD_ID, _USER_ID, _MESSAGE, _CAMPAIGN, _TIMESTAMP)

_VECTOR = Column(
    "vector", "real[]", "Embedding of the message, 1,024 numbers compared by cosine.",
    nullable=False, sources=("events.message",),
)  # fmt: skip

EVENTS = Table(
    PIPELINE,
    "events",
    "Winners of one batch, staged as Parquet.",
    ("record_id",),
    (
        *EVENT,
        ROW_HASH,
        Column("message_hash", "text", "SHA-256 of the message, hex; key of its embedding."),
        SOURCE,
        INGESTED_AT,
        SEQ,
        LINE,
    ),
)
RAW_MESSAGES = Table(
    PIPELINE,
    "raw_messages",
    "One document per event, as it came.",
    ("record_id",),
    read_from("events", (*EVENT, INGESTED_AT, ROW_HASH, SOURCE, LINE)),
)
MESSAGE_EMBEDDINGS = Table(
    PIPELINE,
    "message_embeddings",
    "One vector per message that is not empty.",
    ("record_id",),
    (*read_from("events", (_RECORD_ID, _USER_ID, ROW_HASH)), _VECTOR),
)
USER_PROFILES = Table(
    PIPELINE,
    "user_profiles",
    "One vector per user.",
    ("user_id",),
    (
        _USER_ID.read_from("events"),
        ROW_HASH.named("row_hash", "Digest of the messages that the vector is made of."),
        BATCH_ID.named("changed_in", "Batch that changed those messages last."),
        Column("message_count", "bigint", "Messages of the user that are not empty.", minimum=1),
        _VECTOR.named("vector", "Mean of the user's message embeddings."),
    ),
)
USER_EVENTS = Table(
    PIPELINE,
    "user_events",
    "One row per event.",
    ("record_id",),
    read_from("events", (*EVENT, ROW_HASH, SOURCE, INGESTED_AT)),
    partition="timestamp",
    cluster=("user_id",),
)
RECOMMENDATIONS = Table(
    PIPELINE,
    "campaign_recommendations",
    "The users most like a user, and what campaigns those engage with; one row per user.",
    ("user_id",),
    (
        _USER_ID.read_from("user_profiles"),
        Column("computed_at", "timestamptz", "When the answer was computed.", nullable=False),
        BATCH_ID.named("batch_id", "Batch that it was computed for."),
        Column("tie_limit_reached", "boolean",
               "More users share the last score than Milvus returns.", nullable=False),
        Column(
            "similar_users",
            "record[]",
            "At most 5, nearest first.",
            sources=("user_profiles.vector",),
            fields=(
                Column("user_id", "text", "Who it is."),
                Column("score", "double precision", "Cosine, -1 to 1, rounded to 6 decimals."),
            ),
        ),
        Column(
            "campaigns",
            "record[]",
            "Campaigns of the similar users, most events first.",
            sources=("engagement_analytics.campaign", "engagement_analytics.timestamp"),
            fields=(
                Column("campaign", "text", "Its name."),
                Column("events", "bigint", "Events of the similar users in it."),
                Column("users", "bigint", "How many of them took part."),
                Column("last_at", "timestamptz", "When one of them last did."),
            ),
        ),
    ),
    cluster=("user_id",),
)  # fmt: skip

USER_EVENTS_STAGING = staging_of(USER_EVENTS, SEQ, LINE)
RECOMMENDATIONS_STAGING = staging_of(RECOMMENDATIONS)
#: All that is in BigQuery.
WAREHOUSE = (USER_EVENTS, USER_EVENTS_STAGING, RECOMMENDATIONS, RECOMMENDATIONS_STAGING)
