"""What the outside asks of campaigns: every answer is a function of the stores and the question.

Belongs here: all that an API, the demo or a command may call. Does not: the computation of similar
users and recommendations (``recommendations.py``), nor anything that writes.
Every function raises UnknownUserError for a user without any event, and what the clients raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assets.campaigns.analytics import warehouse_of
from assets.campaigns.recommendations import (
    DEFAULT_K,
    KNOWN_USERS,
    NoProfileError,
    Recommendation,
    SimilarUser,
    Stores,
    UnknownUserError,
    nearest_users,
    recommend,
)
from assets.sinks.neo4j import Graph
from landing.arrival.standing import Delivered, newest_delivery

if TYPE_CHECKING:
    import psycopg
    from google.cloud.bigquery import Client
    from neo4j import Driver
    from pymilvus import MilvusClient

__all__ = [
    "Engagement", "NoProfileError", "Recommendation", "SimilarUsers", "Stores", "UnknownUserError",
    "UserCampaign", "UserCampaigns", "engagement", "recommendation", "rests_on", "similar_users",
    "stores", "user_campaigns",
]  # fmt: skip

CAMPAIGNS_OF = """
MATCH (u:User) WHERE u.user_id = $rows
MATCH (u)-[p:PARTICIPATED_IN]->(c:Campaign)
RETURN c.campaign AS campaign, p.events AS events,
    p.first_seen AS first_seen, p.last_seen AS last_seen
ORDER BY events DESC, campaign
"""
ACTIVITY = """
SELECT COUNT(*) AS events, MIN(timestamp) AS first_at, MAX(timestamp) AS last_at
FROM `{user_events}`
WHERE user_id = @user
"""


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """The users most like one, nearest first; ``tie_limit_reached`` as in Recommendation."""

    user_id: str
    similar: tuple[SimilarUser, ...]
    tie_limit_reached: bool


@dataclass(frozen=True, slots=True)
class UserCampaign:
    """A campaign that a user took part in; times in UTC."""

    campaign: str
    events: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class UserCampaigns:
    """All campaigns of a user, most events first."""

    user_id: str
    campaigns: tuple[UserCampaign, ...]


@dataclass(frozen=True, slots=True)
class Engagement:
    """A user's events; times in UTC."""

    user_id: str
    events: int
    first_at: datetime
    last_at: datetime


def stores(
    milvus: MilvusClient, driver: Driver, bigquery: Client,
    *, profiles: str, database: str, dataset: str,
) -> Stores:  # fmt: skip
    """Where answers come from, of open clients, which stay the caller's to close."""
    return Stores(milvus, profiles, Graph(driver, database), warehouse_of(bigquery, dataset))


def recommendation(stores: Stores, user: str, k: int = DEFAULT_K) -> Recommendation:
    """The k most similar users and their campaigns by engagement.

    Raises ValueError unless 1 <= k <= 20, and NoProfileError.
    """
    (found,) = recommend(stores, [user], k)
    return found


def similar_users(stores: Stores, user: str, k: int = DEFAULT_K) -> SimilarUsers:
    """The k most similar users. Raises as :func:`recommendation`."""
    similar, limited = nearest_users(stores, [user], k)
    return SimilarUsers(user, similar[user], user in limited)


def user_campaigns(stores: Stores, user: str) -> UserCampaigns:
    """The campaigns that the user took part in."""
    rows = stores.graph.run(CAMPAIGNS_OF, user)
    if not rows and not stores.graph.run(KNOWN_USERS, [user]):
        raise UnknownUserError([user])
    campaigns = tuple(
        UserCampaign(
            row["campaign"], row["events"], _utc(row["first_seen"]), _utc(row["last_seen"])
        )
        for row in rows
    )
    return UserCampaigns(user, campaigns)


def engagement(stores: Stores, user: str) -> Engagement:
    """How many events the user has, and since and until when."""
    from google.cloud.bigquery import ScalarQueryParameter

    (row,) = stores.warehouse.run(ACTIVITY, [ScalarQueryParameter("user", "STRING", user)])
    if not row.events:
        raise UnknownUserError([user])
    return Engagement(user, row.events, row.first_at, row.last_at)


def _utc(moment: Any) -> datetime:
    """A driver's time; some servers send it without its zone, which is UTC as it was written."""
    native: datetime = moment.to_native() if hasattr(moment, "to_native") else moment
    return native.replace(tzinfo=UTC) if native.tzinfo is None else native.astimezone(UTC)


def rests_on(connection: psycopg.Connection[Any]) -> Delivered | None:
    """What any sink of campaigns was last told."""
    return newest_delivery(connection, "campaigns")
