"""Recommendations kept in BigQuery, one row per user, for those whom a batch concerns most.

Belongs here: whom, the table, how it is written. Does not: the computation
(``recommendations.py``).
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.campaigns.recommendations import (
    DEFAULT_K,
    Recommendation,
    Stores,
    natural,
    recommend,
)
from assets.campaigns.touched import touched
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT, run
from resources.milvus import one_of

if TYPE_CHECKING:
    import polars as pl
    from google.cloud.bigquery import SchemaField

    from assets.campaigns.analytics import Warehouse
    from resources.postgres import PostgresResource

TABLE = "campaign_recommendations"
STAGING = "campaign_recommendations_staging"
MOST_USERS = 500
_CALL_IDS = 1_000

MERGE = """
MERGE `{table}` AS t
USING (
    SELECT user_id, computed_at, batch_id, tie_limit_reached, similar_users, campaigns
    FROM `{staging}`
    WHERE batch_id = @batch_id
    QUALIFY ROW_NUMBER() OVER (PARTITION BY user_id ORDER BY computed_at DESC) = 1
) AS s
ON t.user_id = s.user_id
WHEN MATCHED THEN UPDATE SET
    computed_at = s.computed_at, batch_id = s.batch_id, tie_limit_reached = s.tie_limit_reached,
    similar_users = s.similar_users, campaigns = s.campaigns
WHEN NOT MATCHED THEN INSERT
    (user_id, computed_at, batch_id, tie_limit_reached, similar_users, campaigns)
    VALUES (s.user_id, s.computed_at, s.batch_id, s.tie_limit_reached, s.similar_users,
        s.campaigns)
"""
DELETE = "DELETE FROM `{table}` WHERE user_id IN UNNEST(@users)"


@dataclass(frozen=True, slots=True)
class Kept:
    """``users`` rows were written, ``left_out`` users of the batch wait for their next event.

    ``removed``: users who have no vector any more. ``recommendations`` are those written.
    """

    users: int
    left_out: int
    removed: int
    tie_limit_reached: int
    seconds: float
    recommendations: tuple[Recommendation, ...]


def materialize(
    chunks: Iterable[pl.DataFrame],
    stores: Stores,
    pg: PostgresResource,
    *,
    batch_id: str,
    computed_at: datetime,
    k: int = DEFAULT_K,
    most: int = MOST_USERS,
) -> Kept:
    """Compute and merge the rows of at most ``most`` users that the batch touches.

    Users whose vector the batch changed come first, each kind in natural order. Rows of users
    without a vector are removed. Raises what ``recommend`` and the clients raise.
    """
    started = time.monotonic()
    _ensure(stores.warehouse)
    with touched(pg, batch_id) as batch:
        for _ in batch.passing(chunks):
            pass
        users = [row[0] for row in batch.stream("SELECT DISTINCT user_id FROM touched")]
    held = _held(stores, users)
    order = sorted(held, key=lambda user: (held[user] != batch_id, natural(user)))
    found = recommend(stores, order[:most], k)
    if found:
        _load(_frame(found, batch_id, computed_at), stores.warehouse)
        run(stores.warehouse.client, _sql(MERGE, stores.warehouse), [_batch(batch_id)])
    removed = [user for user in users if user not in held]
    _delete(removed, stores.warehouse)
    return Kept(
        users=len(found),
        left_out=len(order) - len(found),
        removed=len(removed),
        tie_limit_reached=sum(one.tie_limit_reached for one in found),
        seconds=time.monotonic() - started,
        recommendations=found,
    )


def statements(project: str, dataset: str) -> dict[str, str]:
    """Every statement of this module as it is sent, by name."""
    from resources.bigquery import table_id

    names = {
        "table": table_id(project, dataset, TABLE),
        "staging": table_id(project, dataset, STAGING),
    }
    return {"merge": MERGE.format(**names), "delete": DELETE.format(**names)}


def _held(stores: Stores, users: Sequence[str]) -> dict[str, str]:
    """Users that have a vector, and the batch that changed it last."""
    held: dict[str, str] = {}
    for at in range(0, len(users), _CALL_IDS):
        rows = stores.milvus.query(
            stores.profiles,
            filter=one_of("user_id", users[at : at + _CALL_IDS]),
            output_fields=["user_id", "changed_in"],
            consistency_level="Strong",
        )
        held |= {row["user_id"]: row["changed_in"] for row in rows}
    return held


def _schema() -> list[SchemaField]:
    from google.cloud.bigquery import SchemaField

    similar = [SchemaField("user_id", "STRING"), SchemaField("score", "FLOAT")]
    campaigns = [
        SchemaField("campaign", "STRING"),
        SchemaField("events", "INTEGER"),
        SchemaField("users", "INTEGER"),
        SchemaField("last_at", "TIMESTAMP"),
    ]
    return [
        SchemaField("user_id", "STRING", "REQUIRED"),
        SchemaField("computed_at", "TIMESTAMP", "REQUIRED"),
        SchemaField("batch_id", "STRING", "REQUIRED"),
        SchemaField("tie_limit_reached", "BOOLEAN", "REQUIRED"),
        SchemaField("similar_users", "RECORD", "REPEATED", fields=similar),
        SchemaField("campaigns", "RECORD", "REPEATED", fields=campaigns),
    ]


def _ensure(warehouse: Warehouse) -> None:
    from google.cloud.bigquery import Table

    warehouse.ensure()
    for name in (TABLE, STAGING):
        table = Table(warehouse.table(name), schema=_schema())
        if name == TABLE:
            table.clustering_fields = ["user_id"]
        warehouse.client.create_table(table, exists_ok=True, timeout=REQUEST_TIMEOUT)


def _frame(found: Sequence[Recommendation], batch_id: str, computed_at: datetime) -> pl.DataFrame:
    import polars as pl

    time_type = pl.Datetime("us", "UTC")
    similar = pl.Struct({"user_id": pl.String, "score": pl.Float64})
    campaign = pl.Struct(
        {"campaign": pl.String, "events": pl.Int64, "users": pl.Int64, "last_at": time_type}
    )
    return pl.DataFrame(
        [
            {
                "user_id": one.user_id,
                "computed_at": computed_at,
                "batch_id": batch_id,
                "tie_limit_reached": one.tie_limit_reached,
                "similar_users": [
                    {"user_id": near.user_id, "score": near.score} for near in one.similar
                ],
                "campaigns": [
                    {"campaign": c.campaign, "events": c.events, "users": c.users,
                     "last_at": c.last_at}
                    for c in one.campaigns
                ],
            }
            for one in found
        ],
        schema={
            "user_id": pl.String,
            "computed_at": time_type,
            "batch_id": pl.String,
            "tie_limit_reached": pl.Boolean,
            "similar_users": pl.List(similar),
            "campaigns": pl.List(campaign),
        },
    )  # fmt: skip


def _load(frame: pl.DataFrame, warehouse: Warehouse) -> None:
    from google.cloud.bigquery import LoadJobConfig, SourceFormat, WriteDisposition
    from google.cloud.bigquery.format_options import ParquetOptions

    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    buffer.seek(0)
    options = ParquetOptions()
    options.enable_list_inference = True  # a Parquet list is a REPEATED field, not list.element
    config = LoadJobConfig(
        schema=_schema(),
        source_format=SourceFormat.PARQUET,
        write_disposition=WriteDisposition.WRITE_TRUNCATE,
    )
    config.parquet_options = options
    job = warehouse.client.load_table_from_file(
        buffer, warehouse.table(STAGING), job_config=config, timeout=REQUEST_TIMEOUT
    )
    job.result(timeout=JOB_TIMEOUT)


def _delete(users: Sequence[str], warehouse: Warehouse) -> None:
    from google.cloud.bigquery import ArrayQueryParameter

    for at in range(0, len(users), _CALL_IDS):
        part = ArrayQueryParameter("users", "STRING", list(users[at : at + _CALL_IDS]))
        run(warehouse.client, _sql(DELETE, warehouse), [part])


def _sql(template: str, warehouse: Warehouse) -> str:
    return template.format(table=warehouse.table(TABLE), staging=warehouse.table(STAGING))


def _batch(batch_id: str) -> Any:
    from google.cloud.bigquery import ScalarQueryParameter

    return ScalarQueryParameter("batch_id", "STRING", batch_id)
