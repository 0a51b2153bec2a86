"""Recommendations kept in BigQuery, one row per user, for those whom a batch concerns most.

Belongs here: whom, the table, how it is written. Does not: the computation
(``recommendations.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from assets.campaigns.recommendations import (
    DEFAULT_K,
    Recommendation,
    Stores,
    natural,
    recommend,
)
from assets.campaigns.tables import RECOMMENDATIONS, RECOMMENDATIONS_STAGING
from assets.campaigns.touched import touched
from assets.sinks import bigquery
from assets.sinks.bigquery_merging import merge
from resources.milvus import one_of

if TYPE_CHECKING:
    import polars as pl

    from assets.sinks.bigquery import Warehouse
    from resources.postgres import PostgresResource

MOST_USERS = 500
_CALL_IDS = 1_000

DELETE = "DELETE FROM `{campaign_recommendations}` WHERE user_id IN UNNEST(@users)"


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
    warehouse = stores.warehouse
    warehouse.ensure()
    with touched(pg, batch_id) as batch:
        for _ in batch.passing(chunks):
            pass
        users = [row[0] for row in batch.stream("SELECT DISTINCT user_id FROM touched")]
    held = _held(stores, users)
    order = sorted(held, key=lambda user: (held[user] != batch_id, natural(user)))
    found = recommend(stores, order[:most], k)
    if found:
        frame = _frame(found, batch_id, computed_at)
        bigquery.stage(warehouse, RECOMMENDATIONS_STAGING, [frame], batch_id=batch_id)
        merge(
            warehouse, RECOMMENDATIONS, RECOMMENDATIONS_STAGING,
            batch_id=batch_id, newest=("computed_at",),
        )  # fmt: skip
    removed = [user for user in users if user not in held]
    _delete(removed, warehouse)
    return Kept(
        users=len(found),
        left_out=len(order) - len(found),
        removed=len(removed),
        tie_limit_reached=sum(one.tie_limit_reached for one in found),
        seconds=time.monotonic() - started,
        recommendations=found,
    )


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


def _frame(found: Sequence[Recommendation], batch_id: str, computed_at: datetime) -> pl.DataFrame:
    import polars as pl

    from assets.frame.table_frames import frame_schema

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
        schema=frame_schema(RECOMMENDATIONS),
    )  # fmt: skip


def _delete(users: Sequence[str], warehouse: Warehouse) -> None:
    from google.cloud.bigquery import ArrayQueryParameter

    for at in range(0, len(users), _CALL_IDS):
        part = ArrayQueryParameter("users", "STRING", list(users[at : at + _CALL_IDS]))
        warehouse.run(DELETE, [part])
