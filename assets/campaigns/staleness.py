"""Which users' kept recommendations may not be what would be computed now.

Belongs here: what of a batch calls which answers in question, and the list of them in Postgres.
Does not: computing and keeping answers (``recommendation_table.py``), when that is done
(``refresh_job.py``).

An answer is made of the user's vector, the k users nearest to it, and their events. It is called in
question when one of these had an event in a batch, and when a user whose vector changed may have
come as near as the last of the k. Whoever may have is told by search and, beyond what a search
brings back, by the scores: nobody is as near as their own last one who is farther than that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.campaigns.recommendations import DEFAULT_K, Recommendation, Stores, hits_of
from landing.arrival.states import LOADED
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Users with changed vectors up to which those around each are looked for; of more, all answers are
#: called in question.
MOST_SEARCHED = 1_000
#: How many around each.
AROUND = 256
#: Scores are rounded to 6 decimals, and numbers of 32 bits.
_NEAR = 2e-6
_IDS = 1_000

_OF_BATCH = """
SELECT user_id FROM campaigns.record WHERE batch_id = %(batch)s
UNION
SELECT user_id FROM campaigns.replaced WHERE batch_id = %(batch)s
"""
_UNMARKED = """
SELECT batch_id FROM landing.batch AS b
WHERE pipeline = 'campaigns' AND state = ANY(%s)
    AND NOT EXISTS (SELECT FROM campaigns.recommended_batch AS r WHERE r.batch_id = b.batch_id)
ORDER BY batch_id
"""
_MARK_USERS = """
INSERT INTO campaigns.recommendation AS r (user_id, urgent)
SELECT user_id, TRUE FROM unnest(%s::text[]) AS t (user_id) ORDER BY user_id
ON CONFLICT (user_id) DO UPDATE SET marks = r.marks + 1, urgent = TRUE,
    stale_since = CASE WHEN r.marks > r.answered THEN r.stale_since ELSE clock_timestamp() END
"""
_MARK_WHERE = """
UPDATE campaigns.recommendation AS r SET marks = marks + 1, urgent = urgent OR {urgent},
    stale_since = CASE WHEN marks > answered THEN stale_since ELSE clock_timestamp() END
WHERE {which}
"""
_MARK_LISTED = _MARK_WHERE.format(urgent="TRUE", which="user_id = ANY(%s)")
_MARK_HOLDERS = _MARK_WHERE.format(urgent="TRUE", which="neighbours && %s::text[]")
_MARK_AROUND = _MARK_WHERE.format(
    urgent="TRUE",
    which="""user_id IN (
        SELECT n.user_id FROM unnest(%s::text[], %s::float8[]) AS n (user_id, score)
        JOIN campaigns.recommendation AS o USING (user_id)
        WHERE o.last_score IS NULL OR o.last_score <= n.score)""",
)
_MARK_FARTHER = _MARK_WHERE.format(urgent="FALSE", which="last_score IS NULL OR last_score <= %s")
_MARK_ALL = _MARK_WHERE.format(urgent="FALSE", which="TRUE")
_STALE = """
SELECT user_id FROM campaigns.recommendation WHERE marks > answered
ORDER BY urgent DESC, stale_since, user_id LIMIT %s
"""
_ANSWERED = """
UPDATE campaigns.recommendation AS r SET answered = n.marks, urgent = FALSE,
    computed_at = %(at)s, neighbours = n.neighbours, last_score = n.last_score
FROM jsonb_to_recordset(%(rows)s)
    AS n (user_id text, marks integer, neighbours text[], last_score float8)
WHERE r.user_id = n.user_id
"""
_GONE = """
DELETE FROM campaigns.recommendation AS r
USING unnest(%s::text[], %s::integer[]) AS n (user_id, marks)
WHERE r.user_id = n.user_id AND r.marks = n.marks
"""
_STANDING = """
SELECT count(*), count(*) FILTER (WHERE marks > answered),
    min(stale_since) FILTER (WHERE marks > answered), max(computed_at)
FROM campaigns.recommendation
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How many users have or should have an answer, and of how many it is stale, since when."""

    users: int
    stale: int
    stale_since: datetime | None
    computed_at: datetime | None


def standing(conn: Connection) -> Standing:
    """How complete and how fresh the kept answers are."""
    row = conn.execute(_STANDING).fetchone()
    return Standing(*row) if row else Standing(0, 0, None, None)


def anything_stale(conn: Connection) -> bool:
    """Whether an answer is stale, or a loaded batch has not been asked whether it makes one so."""
    return bool(stale_users(conn, 1)) or bool(unmarked(conn))


def stale_users(conn: Connection, most: int) -> list[str]:
    """Users whose answer is called in question, those first for whom it surely has changed."""
    return [user for (user,) in conn.execute(_STALE, (most,))]


def unmarked(conn: Connection) -> list[str]:
    """Loaded batches that have called nothing in question: runs of theirs died before they did."""
    return [batch for (batch,) in conn.execute(_UNMARKED, (list(LOADED),))]


def users_of(conn: Connection, batch_id: str) -> list[str]:
    """Users of the batch's records and of those that it replaced."""
    return [user for (user,) in conn.execute(_OF_BATCH, {"batch": batch_id})]


def mark(
    conn: Connection,
    stores: Stores,
    batch_id: str,
    users: Sequence[str],
    held: Mapping[str, str],
) -> None:
    """Call the answers in question that a loaded batch concerns.

    ``users`` are all that it touches, ``held`` those of them that have a vector, and the batch that
    changed it last. Twice does no harm. Raises what the clients raise.
    """
    changed = [user for user, of in held.items() if of == batch_id]
    around, farthest = _around(stores, changed)
    with conn.transaction():
        take_until_commit(conn, Lock.RECOMMENDATIONS)
        for at in range(0, len(users), _IDS):
            part = list(users[at : at + _IDS])
            conn.execute(_MARK_USERS, ([user for user in part if user in held],))
            conn.execute(_MARK_LISTED, ([user for user in part if user not in held],))
            conn.execute(_MARK_HOLDERS, (part,))
        if len(changed) > MOST_SEARCHED:
            conn.execute(_MARK_ALL)
        elif changed:
            scores = [score + _NEAR for score in around.values()]
            conn.execute(_MARK_AROUND, (list(around), scores))
            if farthest is not None:
                conn.execute(_MARK_FARTHER, (farthest + _NEAR,))
        conn.execute(
            "INSERT INTO campaigns.recommended_batch (batch_id) VALUES (%s) ON CONFLICT DO NOTHING",
            (batch_id,),
        )


def marks_of(conn: Connection, users: Sequence[str]) -> dict[str, int]:
    """How often each user's answer has been called in question; 0 for one who is not listed."""
    rows = conn.execute(
        "SELECT user_id, marks FROM campaigns.recommendation WHERE user_id = ANY(%s)",
        (list(users),),
    ).fetchall()
    return {**dict.fromkeys(users, 0), **dict(rows)}


def answered(
    conn: Connection,
    found: Sequence[Recommendation],
    marks: Mapping[str, int],
    computed_at: datetime,
    k: int = DEFAULT_K,
) -> None:
    """Note answers that were kept; what has been called in question since stays so."""
    import json

    rows = [
        {
            "user_id": one.user_id,
            "marks": marks[one.user_id],
            "neighbours": [near.user_id for near in one.similar],
            "last_score": one.similar[-1].score if len(one.similar) == k else None,
        }
        for one in found
    ]
    with conn.transaction():
        take_until_commit(conn, Lock.RECOMMENDATIONS)
        conn.execute(_ANSWERED, {"rows": json.dumps(rows), "at": computed_at})


def gone(conn: Connection, marks: Mapping[str, int]) -> None:
    """Take users off the list who have no vector any more, unless something came since."""
    with conn.transaction():
        take_until_commit(conn, Lock.RECOMMENDATIONS)
        conn.execute(_GONE, (list(marks), list(marks.values())))


def _around(stores: Stores, changed: Sequence[str]) -> tuple[dict[str, float], float | None]:
    """The users around those that changed, each with the best score; and a bound for all others.

    The bound is None where there are no others.
    """
    if not changed or len(changed) > MOST_SEARCHED:
        return {}, None
    around: dict[str, float] = {}
    bounds: list[float] = []
    for hits in hits_of(stores, changed, AROUND):
        for user, score in hits:
            around[user] = max(score, around.get(user, -1.0))
        if len(hits) == AROUND:
            bounds.append(hits[-1][1])
    return around, max(bounds, default=None)
