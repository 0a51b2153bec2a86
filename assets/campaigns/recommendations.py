"""The pipeline's answer: the users most like a user, and what campaigns those engage with.

Belongs here: the one computation that assets and queries share. Does not: keeping it
(``recommendation_table.py``), what is asked from outside (``answers.py``).

Similar users come from Milvus (cosine of profile vectors, rounded to 6 decimals, ties by the
natural order of the user id: user_2 before user_10), their campaigns from Neo4j, and how often
and when they engaged with them from BigQuery.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.sinks.bigquery import Warehouse
from assets.sinks.neo4j import Graph
from resources.milvus import one_of

if TYPE_CHECKING:
    from pymilvus import MilvusClient

DEFAULT_K = 5
MOST_K = 20
FIRST_LIMIT = 64
#: The most that Milvus returns for one query vector.
LAST_LIMIT = 16_384
DECIMALS = 6
#: Results that one search call may bring back, over all its query vectors.
_CALL_RESULTS = 65_536
_CALL_IDS = 1_000

CAMPAIGNS = """
MATCH (u:User) WHERE u.user_id IN $rows
MATCH (u)-[:PARTICIPATED_IN]->(c:Campaign)
RETURN u.user_id AS user_id, c.campaign AS campaign
"""
KNOWN_USERS = "MATCH (u:User) WHERE u.user_id IN $rows RETURN u.user_id AS user_id"
FREQUENCIES = """
SELECT user_id, campaign, COUNT(*) AS events, MAX(timestamp) AS last_at
FROM `{user_events}`
WHERE user_id IN UNNEST(@users) AND campaign IS NOT NULL
GROUP BY user_id, campaign
"""


class UnknownUserError(LookupError):
    """No event of this user was ever loaded."""

    def __init__(self, users: Sequence[str]) -> None:
        super().__init__(f"no event of {_named(users)}")
        self.users = tuple(users)


class NoProfileError(LookupError):
    """The user's messages are all empty: there is no vector to compare."""

    def __init__(self, users: Sequence[str]) -> None:
        super().__init__(f"only events without a message of {_named(users)}")
        self.users = tuple(users)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where an answer comes from. ``profiles`` is the Milvus collection of users' vectors."""

    milvus: MilvusClient
    profiles: str
    graph: Graph
    warehouse: Warehouse


@dataclass(frozen=True, slots=True)
class SimilarUser:
    """``score`` is the cosine, between -1 and 1, rounded to 6 decimals."""

    user_id: str
    score: float


@dataclass(frozen=True, slots=True)
class CampaignEngagement:
    """What the similar users did with one campaign: events, how many of them, the last time."""

    campaign: str
    events: int
    users: int
    last_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Similar users, nearest first, and their campaigns by events (descending), then name.

    ``tie_limit_reached``: so many users share the last score that Milvus could not return all of
    them; those that it did return were put in order.
    """

    user_id: str
    similar: tuple[SimilarUser, ...]
    campaigns: tuple[CampaignEngagement, ...]
    tie_limit_reached: bool = False


def recommend(
    stores: Stores, users: Sequence[str], k: int = DEFAULT_K
) -> tuple[Recommendation, ...]:
    """One answer per user, in their order.

    Raises ValueError unless 1 <= k <= 20, UnknownUserError, NoProfileError, and what the three
    clients raise.
    """
    similar, limited = nearest_users(stores, users, k)
    if not users:
        return ()
    neighbours = sorted({near.user_id for found in similar.values() for near in found})
    campaigns = _campaigns(stores.graph, neighbours)
    frequencies = _frequencies(stores.warehouse, neighbours)
    return tuple(
        Recommendation(
            user,
            similar[user],
            ranked([near.user_id for near in similar[user]], campaigns, frequencies),
            user in limited,
        )
        for user in users
    )


def nearest_users(
    stores: Stores, users: Sequence[str], k: int
) -> tuple[dict[str, tuple[SimilarUser, ...]], set[str]]:
    """The k nearest per user, and the users for whom the tie limit was reached.

    Raises as :func:`recommend`.
    """
    if not 1 <= k <= MOST_K:
        raise ValueError(f"k must be from 1 to {MOST_K}, not {k}")
    return _similar(stores, _vectors(stores, users), k)


def natural(user_id: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """A sort key by which digits compare as numbers: user_2 before user_10."""
    parts = re.split(r"([0-9]+)", user_id)
    return tuple((1, int(p), "") if i % 2 else (0, 0, p) for i, p in enumerate(parts)), user_id


def nearest(user: str, hits: Sequence[tuple[str, float]], k: int) -> tuple[SimilarUser, ...]:
    """The k best of (user id, score), the user excluded, by rounded score, then natural order."""
    others = [SimilarUser(other, _rounded(score)) for other, score in hits if other != user]
    return tuple(sorted(others, key=lambda near: (-near.score, natural(near.user_id)))[:k])


def settled(user: str, hits: Sequence[tuple[str, float]], limit: int, k: int) -> bool:
    """Whether users beyond the ``limit`` that were asked for could not be among the k best."""
    if len(hits) < limit:
        return True  # all users there are
    best = nearest(user, hits, k)
    return len(best) == k and _rounded(hits[-1][1]) < best[-1].score


def ranked(
    users: Sequence[str],
    campaigns: dict[str, set[str]],
    frequencies: dict[tuple[str, str], tuple[int, datetime]],
) -> tuple[CampaignEngagement, ...]:
    """The users' campaigns, most events first, then by name.

    A campaign that only the graph knows yet (the other sink is behind) has no events and no time.
    """
    takers = Counter(campaign for user in users for campaign in campaigns.get(user, ()))
    found = []
    for campaign, count in takers.items():
        seen = [frequencies[user, campaign] for user in users if (user, campaign) in frequencies]
        last_at = max((last for _, last in seen), default=None)
        found.append(CampaignEngagement(campaign, sum(n for n, _ in seen), count, last_at))
    return tuple(sorted(found, key=lambda item: (-item.events, item.campaign)))


def hits_of(stores: Stores, users: Sequence[str], limit: int) -> Iterator[list[tuple[str, float]]]:
    """The nearest of each user's vector, at most ``limit``, best first, the user among them.

    Users with equal vectors share one; those without a vector have none.
    """
    vectors = _held_vectors(stores, users)
    for _, hits in _search(stores, vectors, _sharing(vectors), limit):
        yield hits


def _held_vectors(stores: Stores, users: Sequence[str]) -> dict[str, Any]:
    import numpy as np

    vectors: dict[str, Any] = {}
    for part in _parts(sorted(set(users)), _CALL_IDS):
        rows = stores.milvus.query(
            stores.profiles,
            filter=one_of("user_id", part),
            output_fields=["user_id", "vector"],
            consistency_level="Strong",
        )
        vectors |= {row["user_id"]: np.asarray(row["vector"], dtype="f4") for row in rows}
    return vectors


def _vectors(stores: Stores, users: Sequence[str]) -> dict[str, Any]:
    vectors = _held_vectors(stores, users)
    if missing := [user for user in users if user not in vectors]:
        known = {row["user_id"] for row in stores.graph.run(KNOWN_USERS, missing)}
        if unknown := [user for user in missing if user not in known]:
            raise UnknownUserError(unknown)
        raise NoProfileError(missing)
    return vectors


def _similar(
    stores: Stores, vectors: dict[str, Any], k: int
) -> tuple[dict[str, tuple[SimilarUser, ...]], set[str]]:
    """The k nearest per user, and the users whose ties went past the last limit.

    Users with equal vectors share one search.
    """
    similar: dict[str, tuple[SimilarUser, ...]] = {}
    open_users = _sharing(vectors)
    limit = FIRST_LIMIT
    while open_users:
        waiting: list[list[str]] = []
        for group, hits in _search(stores, vectors, open_users, limit):
            similar |= {user: nearest(user, hits, k) for user in group}
            if left := [user for user in group if not settled(user, hits, limit, k)]:
                waiting.append(left)
        open_users = waiting
        if limit == LAST_LIMIT:
            break
        limit = min(limit * 2, LAST_LIMIT)
    return similar, {user for group in open_users for user in group}


def _sharing(vectors: dict[str, Any]) -> list[list[str]]:
    """Users by vector."""
    sharing: defaultdict[bytes, list[str]] = defaultdict(list)
    for user, vector in vectors.items():
        sharing[vector.tobytes()].append(user)
    return list(sharing.values())


def _search(
    stores: Stores, vectors: dict[str, Any], groups: Sequence[list[str]], limit: int
) -> Iterator[tuple[list[str], list[tuple[str, float]]]]:
    for part in _parts(groups, max(1, _CALL_RESULTS // limit)):
        results = stores.milvus.search(
            stores.profiles,
            data=[vectors[group[0]] for group in part],
            limit=limit,
            anns_field="vector",
            search_params={"metric_type": "COSINE", "params": {"ef": limit}},
            output_fields=["user_id"],
            consistency_level="Strong",
        )
        for group, hits in zip(part, results, strict=True):
            yield group, [(hit["user_id"], float(hit["distance"])) for hit in hits]


def _campaigns(graph: Graph, users: Sequence[str]) -> dict[str, set[str]]:
    campaigns: defaultdict[str, set[str]] = defaultdict(set)
    for row in graph.run(CAMPAIGNS, list(users)):
        campaigns[row["user_id"]].add(row["campaign"])
    return campaigns


def _frequencies(
    warehouse: Warehouse, users: Sequence[str]
) -> dict[tuple[str, str], tuple[int, datetime]]:
    from google.cloud.bigquery import ArrayQueryParameter

    parameters = [ArrayQueryParameter("users", "STRING", list(users))]
    rows = warehouse.run(FREQUENCIES, parameters)
    return {(row.user_id, row.campaign): (row.events, row.last_at) for row in rows}


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def _rounded(score: float) -> float:
    return round(score, DECIMALS) + 0.0  # no negative zero


def _named(users: Sequence[str]) -> str:
    first = ", ".join(users[:5])
    return first if len(users) <= 5 else f"{first} and {len(users) - 5} more"  # noqa: PLR2004
