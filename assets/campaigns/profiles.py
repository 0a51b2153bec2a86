"""One vector per user: the mean of the vectors of their non-empty messages, as float32.

Belongs here: the mean, and which users have one. Does not: the collection.
A message sent twice counts twice. The mean is not normalised: cosine does not see its length.
Computed anew from all current records of every user that a batch touches, so that the order of
batches does not matter.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from assets.campaigns.message_embeddings import distinct_messages
from assets.campaigns.tables import USER_PROFILES
from assets.campaigns.touched import Touched, touched
from assets.embeddings import Space, VectorCache, embedder, usable
from assets.sinks.milvus import BATCH_ROWS, VectorStore
from assets.sinks.milvus_index import Index
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
    import psycopg
    from pymilvus import MilvusClient

    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

#: Messages whose vectors are in memory at once.
_SLICE = 2_000

# One row per user and distinct message; a user without any has one row without a hash.
_INPUTS = """
SELECT u.user_id, r.message_hash, count(r.key) AS messages,
    e.text_hash IS NOT NULL AS known
FROM (SELECT DISTINCT user_id FROM touched) AS u
LEFT JOIN campaigns.record AS r ON r.user_id = u.user_id AND r.message_hash IS NOT NULL
LEFT JOIN cache.embedding AS e
    ON e.model = %(model)s AND e.dimensions = %(dimensions)s AND e.text_hash = r.message_hash
GROUP BY u.user_id, r.message_hash, e.text_hash
ORDER BY u.user_id, r.message_hash
"""
_WITHOUT_EVENT = """
SELECT user_id FROM unnest(%s::text[]) AS held (user_id)
WHERE NOT EXISTS (SELECT FROM campaigns.record AS r WHERE r.user_id = held.user_id)
"""


@dataclass(slots=True)
class _Profile:
    """A user while their messages are passing by."""

    user_id: str
    digest: Any
    messages: int = 0
    unknown: int = 0
    total: npt.NDArray[np.float64] | None = None


def store(client: MilvusClient, name: str, space: Space, index: str = "auto") -> VectorStore:
    """The collection: user_id, row_hash, changed_in, message_count, vector.

    ``row_hash`` is that of the vector's inputs, ``changed_in`` the batch that changed them last.
    """
    return VectorStore(client, name, space, USER_PROFILES, Index.parse(index))


def write(
    chunks: Iterable[pl.DataFrame],
    collection: VectorStore,
    pg: PostgresResource,
    openai: OpenAIResource,
    *,
    batch_id: str,
    refuse: Callable[[str, str], None] | None = None,
    left_out: set[str] | None = None,
) -> SinkResult:
    """Write the vector of every user that the batch touches; delete those left without a message.

    ``refuse`` is told of the batch's records whose text the API refuses, which is in no mean, and
    of users whose row Milvus refuses while it takes others, or whose messages' vectors cancel out;
    those are added to ``left_out``, too.
    ``unchanged`` are vectors whose inputs were the same. ``details``: embedded, refused_texts
    (distinct ones), and ``awaiting_embedding``: messages of batches that have not been embedded
    yet; their own batch computes the user again.
    """
    started = time.monotonic()
    collection.ensure()
    written = unchanged = deleted = awaiting = embedded = 0
    refused_texts: dict[str, str] = {}
    refused: list[str] = []

    def leave_out(user: str, detail: str) -> None:
        refused.append(user)
        if left_out is not None:
            left_out.add(user)
        if refuse:
            refuse(user, detail)

    isolating = collection.isolating(leave_out if refuse else None)
    with embedder(pg, openai) as (filler, cache), touched(pg, batch_id) as users:
        for chunk in users.passing(chunks):
            texts = distinct_messages(chunk)
            embedded += filler.ensure(texts, refused_texts if refuse else None).embedded
            for key, text in chunk.select("record_id", "message_hash").iter_rows():
                if refuse and text in refused_texts:
                    refuse(key, f"{openai.embedding_model}: {refused_texts[text]}")
        profiles = _profiles(users, collection.space, cache)
        while part := list(islice(profiles, BATCH_ROWS)):
            awaiting += sum(profile.unknown for profile in part)
            rows = []
            for profile in part:
                row = _row(profile) if profile.messages else None
                if row and not usable(row["vector"], collection.space):
                    leave_out(profile.user_id, "the mean of the messages has no direction")
                elif row:
                    rows.append(row)
            unchanged += _mark_changed(rows, collection, batch_id)
            isolating.write(rows, collection.upsert)
            written += sum(bool(profile.messages) for profile in part)
            deleted += collection.delete([p.user_id for p in part if not p.messages])
    isolating.settle()
    deleted += collection.delete(refused)
    collection.flush()
    details = {"embedded": embedded, "awaiting_embedding": awaiting}
    if refused_texts:
        details["refused_texts"] = len(refused_texts)
    seconds = time.monotonic() - started
    return SinkResult(written - len(refused), unchanged, deleted, seconds, details)


def verify(
    chunks: Iterable[pl.DataFrame],
    collection: VectorStore,
    pg: PostgresResource,
    *,
    batch_id: str,
    refused: Collection[str] = (),
) -> Verification:
    """Every touched user with a message has a vector made of today's messages, no other has.

    Nor has one of the ``refused``.
    """
    total = Verification()
    with touched(pg, batch_id) as users:
        for _ in users.passing(chunks):
            pass
        profiles = _profiles(users, collection.space, None)
        while part := list(islice(profiles, BATCH_ROWS)):
            found = collection.hashes([p.user_id for p in part])
            held = [p for p in part if p.messages and p.user_id not in refused]
            expected = {p.user_id: p.digest.hexdigest() for p in held}
            absent = [p.user_id for p in part if p.user_id not in expected]
            total = total.plus(compared(expected, found, absent))
    return total


def without_event(collection: VectorStore, connection: psycopg.Connection[Any]) -> list[str]:
    """Users that have a vector and no event: there should be none."""
    left: list[str] = []
    for users in collection.key_pages():
        left += [row[0] for row in connection.execute(_WITHOUT_EVENT, [users])]
    return left


def _profiles(users: Touched, space: Space, cache: VectorCache | None) -> Iterator[_Profile]:
    """Touched users in order; without a cache their vectors are left out."""
    stream = users.stream(_INPUTS, {"model": space.model, "dimensions": space.dimensions})
    current: _Profile | None = None
    while inputs := list(islice(stream, _SLICE)):
        vectors = cache.vectors(row[1] for row in inputs if row[3]) if cache else {}
        for user_id, message_hash, messages, known in inputs:
            if current is None or current.user_id != user_id:
                if current is not None:
                    yield current
                current = _Profile(user_id, _digest(space))
            if known:
                _add(current, message_hash, messages, vectors.get(message_hash))
            elif message_hash is not None:
                current.unknown += messages
    if current is not None:
        yield current


def _add(
    profile: _Profile, message_hash: str, messages: int, vector: npt.NDArray[np.float32] | None
) -> None:
    profile.digest.update(f"{message_hash}:{messages};".encode())
    profile.messages += messages
    if vector is not None:
        weighted = vector.astype("f8") * messages
        profile.total = weighted if profile.total is None else profile.total + weighted


def _digest(space: Space) -> Any:
    return hashlib.blake2b(f"{space.model}/{space.dimensions};".encode(), digest_size=16)


def _row(profile: _Profile) -> dict[str, Any]:
    if profile.total is None:
        raise ValueError(f"no vector was added for {profile.user_id!r}")
    return {
        "user_id": profile.user_id,
        "row_hash": profile.digest.hexdigest(),
        "message_count": profile.messages,
        "vector": (profile.total / profile.messages).astype("f4"),
    }


def _mark_changed(rows: list[dict[str, Any]], collection: VectorStore, batch_id: str) -> int:
    """Say in the rows which batch changed them; how many were there with the same inputs."""
    stored = collection.stored([row["user_id"] for row in rows], ["row_hash", "changed_in"])
    same = 0
    for row in rows:
        before = stored.get(row["user_id"])
        equal = before is not None and before["row_hash"] == row["row_hash"]
        row["changed_in"] = before["changed_in"] if before and equal else batch_id
        same += equal
    return same
