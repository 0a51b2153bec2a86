"""Similar users and their campaigns, computed by brute force without the code of campaigns.

Belongs here: that recount. Does not: what the answer is (``assets/campaigns``), showing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from pymilvus import MilvusClient

#: Milvus computes cosines in float32, which may differ in the last of six digits.
_UNIT = 1.01e-6
_AT_ONCE = 1_000

_WITH_MESSAGES = "SELECT DISTINCT user_id FROM campaigns.record WHERE message_hash IS NOT NULL"
_CAMPAIGNS = """
SELECT campaign, count(*), count(DISTINCT user_id) FROM campaigns.record
WHERE campaign IS NOT NULL AND user_id = ANY(%s) GROUP BY campaign
"""


def problems(
    answer: Mapping[str, Any], user: str, milvus: MilvusClient, profiles: str, connection: Any
) -> Iterator[str]:
    """What is wrong with a recommendation, over all vectors and all records."""
    similar = [(one["user_id"], one["score"]) for one in answer["similar"]]
    users, vectors = _profiles(milvus, profiles, connection)
    cosines = zip(users, _cosines(users, vectors, user), strict=True)
    yield from _not_nearest(user, similar, dict(cosines))
    said = [(one["campaign"], one["events"], one["users"]) for one in answer["campaigns"]]
    counted = _campaigns(connection, [name for name, _ in similar])
    if said != counted:
        yield f"campaigns of the users like {user}: {said} said, {counted} counted"


def _not_nearest(
    user: str, similar: Sequence[tuple[str, float]], cosine: Mapping[str, float]
) -> Iterator[str]:
    named = {name for name, _ in similar}
    if user in named or len(named) != min(5, len(cosine) - 1):
        yield f"{len(named)} users like {user}: {sorted(named)}"
    for name, score in similar:
        if abs(score - cosine[name]) > _UNIT:
            yield f"{name} is as near to {user} as {score}, counted {cosine[name]}"
    if [score for _, score in similar] != sorted((s for _, s in similar), reverse=True):
        yield f"the users like {user} are in no order"
    others = [value for name, value in cosine.items() if name not in {*named, user}]
    if others and similar and max(others) > similar[-1][1] + _UNIT:
        yield f"somebody is nearer to {user} than {similar[-1][0]}"


def _profiles(
    milvus: MilvusClient, collection: str, connection: psycopg.Connection[Any]
) -> tuple[list[str], Any]:
    """The vectors of all users who said anything, as far as there are any."""
    import numpy as np

    users = [row[0] for row in connection.execute(_WITH_MESSAGES)]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(users), _AT_ONCE):
        rows += milvus.get(
            collection, users[start : start + _AT_ONCE], output_fields=["user_id", "vector"],
            consistency_level="Strong",
        )  # fmt: skip
    vectors = np.asarray([row["vector"] for row in rows], dtype=np.float64)
    return [row["user_id"] for row in rows], vectors


def _cosines(users: Sequence[str], vectors: Any, user: str) -> Sequence[float]:
    import numpy as np

    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines: Sequence[float] = (units @ units[users.index(user)]).tolist()
    return cosines


def _campaigns(
    connection: psycopg.Connection[Any], users: Sequence[str]
) -> list[tuple[str, int, int]]:
    rows = connection.execute(_CAMPAIGNS, (list(users),)).fetchall()
    return sorted(((str(c), int(n), int(u)) for c, n, u in rows), key=lambda row: (-row[1], row[0]))
