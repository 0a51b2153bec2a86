"""Columns of the tables that campaigns fill, and where each comes from, as Dagster shows them.

Belongs here: names, types, descriptions, lineage. Does not: DDL of any store.
"""

from __future__ import annotations

import dagster as dg

from assets.campaigns.pipeline import asset_key

EVENTS_KEY = asset_key("events")

_EVENT = {
    "record_id": ("string", "Natural key of the event."),
    "user_id": ("string", "Who performed it."),
    "message": ("string", "What was said; null when empty."),
    "campaign": ("string", "Campaign it belongs to; null for none."),
    "timestamp": ("timestamp[us, UTC]", "When it happened."),
    "row_hash": ("string", "128-bit BLAKE2b of the regular values, hex."),
    "source": ("string", "Object version that it was read from."),
    "ingested_at": ("timestamp[us, UTC]", "When that version was first seen."),
}
_STAGED = {
    **_EVENT,
    "message_hash": ("string", "SHA-256 of the message, hex; key of its embedding."),
    "seq": ("int64", "Ledger sequence of the object version."),
    "line": ("int64", "Line in that object, from 1."),
}


def _schema(columns: dict[str, tuple[str, str]]) -> dg.TableSchema:
    return dg.TableSchema(
        columns=[dg.TableColumn(name, kind, text) for name, (kind, text) in columns.items()]
    )


STAGED_SCHEMA = _schema(_STAGED)
DOCUMENT_SCHEMA = _schema({**_EVENT, "line": _STAGED["line"]})
ANALYTICS_SCHEMA = _schema(_EVENT)
MESSAGE_VECTOR_SCHEMA = _schema(
    {
        "record_id": _EVENT["record_id"],
        "user_id": _EVENT["user_id"],
        "row_hash": _EVENT["row_hash"],
        "vector": ("float32[1024]", "Embedding of the message, compared by cosine."),
    }
)
PROFILE_SCHEMA = _schema(
    {
        "user_id": _EVENT["user_id"],
        "row_hash": ("string", "Digest of the messages that the vector is made of."),
        "message_count": ("int64", "Non-empty messages of the user."),
        "vector": ("float32[1024]", "Mean of the user's message embeddings."),
    }
)

RECOMMENDATION_SCHEMA = _schema(
    {
        "user_id": _EVENT["user_id"],
        "computed_at": ("timestamp[us, UTC]", "When the answer was computed."),
        "batch_id": ("string", "Batch that it was computed for."),
        "tie_limit_reached": ("bool", "More users share the last score than Milvus returns."),
        "similar_users": ("list<struct<user_id, score>>", "At most 5, nearest first."),
        "campaigns": (
            "list<struct<campaign, events, users, last_at>>",
            "Campaigns of the similar users, most events first.",
        ),
    }
)


def copied_from_events(schema: dg.TableSchema) -> dg.TableColumnLineage:
    """Lineage of columns that are those of the staged events."""
    staged = {column.name for column in STAGED_SCHEMA.columns}
    return dg.TableColumnLineage(
        {
            column.name: [dg.TableColumnDep(EVENTS_KEY, column.name)]
            for column in schema.columns
            if column.name in staged
        }
    )
