"""Recommendations kept in BigQuery, one row per user with a vector.

Belongs here: whose answers are computed when, the table, how it is written. Does not: the
computation (``recommendations.py``), whose answers are called in question (``staleness.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assets.campaigns import staleness
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
    import psycopg

    from assets.sinks.bigquery import Warehouse
    from resources.postgres import PostgresResource

#: Users whose answers a batch's own run computes; the others' are left to the refresh.
MOST_USERS = 500
#: Seconds between two writes of batches' runs: a table takes 1,500 load jobs a day.
PACE = 60.0
#: Users that are asked for together.
_PART = 500
_CALL_IDS = 1_000
#: Answers that are shown of a run.
_SHOWN = 10

DELETE = "DELETE FROM `{campaign_recommendations}` WHERE user_id IN UNNEST(@users)"


@dataclass(frozen=True, slots=True)
class Kept:
    """``users`` rows were written; ``stale`` is how many users wait for theirs, of all.

    ``removed``: users who have no vector any more. ``recommendations`` are some of those written.
    """

    users: int = 0
    removed: int = 0
    tie_limit_reached: int = 0
    stale: int = 0
    stale_since: datetime | None = None
    seconds: float = 0.0
    recommendations: tuple[Recommendation, ...] = ()


def materialize(
    chunks: Iterable[pl.DataFrame],
    stores: Stores,
    pg: PostgresResource,
    *,
    batch_id: str,
    most: int = MOST_USERS,
    pace: float = PACE,
) -> Kept:
    """Call in question what the batch concerns, then compute the answers of at most ``most`` users.

    Users whose vector the batch changed come first, then the others that it touches, each kind in
    natural order, then whoever else is stale. Rows of users without a vector are removed. Nothing
    is computed within ``pace`` seconds of the last write. Raises what ``recommend`` and the clients
    raise.
    """
    started = time.monotonic()
    with touched(pg, batch_id) as batch:
        for _ in batch.passing(chunks):
            pass
        users = [row[0] for row in batch.stream("SELECT DISTINCT user_id FROM touched")]
    held = _held(stores, users)
    with pg.connect(autocommit=True) as conn:
        staleness.mark(conn, stores, batch_id, users, held)
        last = staleness.standing(conn).computed_at
        if last and (datetime.now(UTC) - last).total_seconds() < pace:
            return _told(_Written(), conn, started)
        order = sorted(users, key=lambda user: (held.get(user) != batch_id, natural(user)))
        left = [one for one in staleness.stale_users(conn, most) if one not in set(order[:most])]
        chosen = [*order[:most], *left][:most]
        return _told(_write(conn, stores, [chosen], batch_id), conn, started)


def refresh(stores: Stores, pg: PostgresResource, *, seconds: float, most: int) -> Kept:
    """Compute stale answers, at most ``most`` and for ``seconds``, the surest first.

    Batches that were loaded by runs which died before they called anything in question do so now.
    Raises as :func:`materialize`.
    """
    started = time.monotonic()
    with pg.connect(autocommit=True) as conn:
        for batch_id in staleness.unmarked(conn):
            users = staleness.users_of(conn, batch_id)
            staleness.mark(conn, stores, batch_id, users, _held(stores, users))

        def parts() -> Iterator[Sequence[str]]:
            users = staleness.stale_users(conn, most)
            for at in range(0, len(users), _PART):
                if time.monotonic() - started > seconds:
                    return
                yield users[at : at + _PART]

        return _told(_write(conn, stores, parts(), "refresh"), conn, started)


@dataclass(slots=True)
class _Written:
    """What one write has come to."""

    marks: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    found: list[Recommendation] = field(default_factory=list)


def _write(
    conn: psycopg.Connection[Any],
    stores: Stores,
    parts: Iterable[Sequence[str]],
    batch_id: str,
) -> _Written:
    """Compute the users' answers, keep them, and note that they are."""
    warehouse, written = stores.warehouse, _Written()
    warehouse.ensure()
    at = datetime.now(UTC)

    def frames() -> Iterator[pl.DataFrame]:
        for part in parts:
            marks = staleness.marks_of(conn, part)
            held = _held(stores, part)
            written.removed |= {user: marks[user] for user in part if user not in held}
            found = recommend(stores, [user for user in part if user in held], DEFAULT_K)
            written.marks |= marks
            written.found += found
            if found:
                yield _frame(found, batch_id, at)

    staged = bigquery.stage(warehouse, RECOMMENDATIONS_STAGING, frames(), batch_id=batch_id)
    if staged.rows:
        merge(
            warehouse, RECOMMENDATIONS, RECOMMENDATIONS_STAGING,
            batch_id=batch_id, newest=("computed_at",),
        )  # fmt: skip
    _delete(list(written.removed), warehouse)
    staleness.answered(conn, written.found, written.marks, at)
    staleness.gone(conn, written.removed)
    return written


def _told(written: _Written, conn: psycopg.Connection[Any], started: float) -> Kept:
    now = staleness.standing(conn)
    return Kept(
        users=len(written.found),
        removed=len(written.removed),
        tie_limit_reached=sum(one.tie_limit_reached for one in written.found),
        stale=now.stale,
        stale_since=now.stale_since,
        seconds=time.monotonic() - started,
        recommendations=tuple(written.found[:_SHOWN]),
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
