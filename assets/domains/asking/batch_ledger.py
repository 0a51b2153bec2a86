"""Batches in the ledger: what is intended, what was made of it, what it covers.

Belongs here: rows of openai_batch and the prompts under their keys. Does not: the API
(``batch_mode``), files (``batch_files``). Connections are in autocommit mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.domains.asking import awaited, batch_files, statements
from assets.domains.asking.batch_files import BatchFile
from assets.domains.asking.claims import Claim, Claimed, claim_parameters, claimed
from assets.domains.asking.ledger import budget_key
from assets.domains.asking.limits import AskingLimits
from assets.domains.asking.settlement import Settlement, as_json
from resources.advisory_locks import Lock, held_at_once

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]

BatchState = Literal["intended", "created", "collected"]

_INTEND = """
INSERT INTO domains.openai_batch (key, budget, requests) VALUES (%s, %s, %s)
"""
_COVER = """
UPDATE domains.openai_answer SET batch_key = %s, owner = %s
WHERE prompt_hash = ANY(%s) AND state = 'batched' AND owner = %s
"""
_OPEN = """
SELECT key, state, file_id, batch_id, requests, intended_at FROM domains.openai_batch
WHERE budget = %s AND state <> 'collected' ORDER BY intended_at, key
"""
_COVERED = """
SELECT prompt_hash, request, facts, reask, attempts, failures, reserved, prompt_bound,
       completion_bound
FROM domains.openai_answer WHERE batch_key = %s AND state = 'batched' ORDER BY prompt_hash
"""
_UPLOADED = "UPDATE domains.openai_batch SET file_id = %s WHERE key = %s"
_CREATED = """
UPDATE domains.openai_batch
SET state = 'created', batch_id = %s, file_id = %s, status = %s, created_at = now()
WHERE key = %s
"""
_SEEN = "UPDATE domains.openai_batch SET status = %s WHERE key = %s"
_COLLECTED = """
UPDATE domains.openai_batch
SET state = 'collected', status = %s, answered = %s, failed = %s, error = %s,
    collected_at = now()
WHERE key = %s
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """One that is not collected. ``batch_id`` is the API's, when it is known to have it."""

    key: str
    state: BatchState
    file_id: str | None
    batch_id: str | None
    requests: int
    intended_at: datetime

    @property
    def owner(self) -> str:
        """Of its prompts."""
        return f"batch {self.key}"


@contextmanager
def batches_of(postgres: PostgresResource, month: date) -> Iterator[Connection | None]:
    """A connection for the one process that may handle the month's batches now, else None.

    Two would each list no batch, and each create one. Raises psycopg.OperationalError.
    """
    with (
        postgres.connect(autocommit=True) as conn,
        # Given back, not left to the session's end: that comes a moment after its close, and the
        # next step would find itself busy with nobody.
        held_at_once(conn, Lock.OPENAI_BATCHES, budget_key(month)) as free,
    ):
        yield conn if free else None


def intend(
    conn: Connection, month: date, limits: AskingLimits, *, requests: int, size: int
) -> tuple[list[str], Claimed]:
    """Commit which prompts go into which batches, before any of them is sent; keys and claims.

    With them the month is noted as one that waits. Files hold at most ``requests`` and ``size``
    bytes.
    """
    parameters = claim_parameters(month, limits.prices.halved(), limits.attempts)
    parameters |= {"state": "batched", "owner": "batch", "batch": None, "limit": requests}
    with conn.transaction():
        got = claimed(conn.execute(statements.CLAIM, parameters).fetchall())
        files = list(batch_files.cut(got.claims, requests=requests, size=size))
        for one in files:
            _note(conn, one, month)
        if files:
            awaited.note(conn, month)
    return [one.key for one in files], got


def _note(conn: Connection, file: BatchFile, month: date) -> None:
    hashes = [claim.prompt_hash for claim in file.claims]
    conn.execute(_INTEND, (file.key, budget_key(month), len(hashes)))
    conn.execute(_COVER, (file.key, f"batch {file.key}", hashes, "batch"))


def open_batches(conn: Connection, month: date) -> list[Batch]:
    """Those that are not collected, oldest first."""
    return [Batch(*row) for row in conn.execute(_OPEN, (budget_key(month),))]


def covered(conn: Connection, batch: Batch) -> list[Claim]:
    """Its prompts that have no result yet."""
    return [Claim.of(row) for row in conn.execute(_COVERED, (batch.key,))]


def uploaded(conn: Connection, batch: Batch, file_id: str) -> None:
    """Its file is there."""
    conn.execute(_UPLOADED, (file_id, batch.key))


def created(conn: Connection, batch: Batch, batch_id: str, file_id: str, status: str) -> None:
    """The API has it."""
    conn.execute(_CREATED, (batch_id, file_id, status, batch.key))


def seen(conn: Connection, batch: Batch, status: str) -> None:
    """Its status, as the API tells it."""
    conn.execute(_SEEN, (status, batch.key))


def settle(conn: Connection, batch: Batch, month: date, settlements: Sequence[Settlement]) -> None:
    """Store results of some of its prompts."""
    parameters = {
        "results": as_json(settlements), "owner": batch.owner, "budget": budget_key(month),
    }  # fmt: skip
    conn.execute(statements.SETTLE, parameters)


def collected(
    conn: Connection,
    batch: Batch,
    status: str,
    counts: tuple[int | None, int | None],
    error: str | None,
) -> None:
    """All that it brought is stored: ``counts`` of requests that were answered and that failed."""
    conn.execute(_COLLECTED, (status, *counts, error, batch.key))
