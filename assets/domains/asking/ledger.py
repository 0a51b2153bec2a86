"""The ledger of prompts: putting them in, and reading how far they are and what they cost.

Belongs here: what an asset asks of the ledger, on its own connection. Does not: claims and
answers (``claims``), batches (``batch_ledger``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import TYPE_CHECKING, Any

from assets.domains.asking.limits import Bounds

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_NEW = """
CREATE TEMPORARY TABLE new_prompt (
    prompt_hash text COLLATE "C", request jsonb, facts jsonb,
    prompt_bound integer, completion_bound integer
) ON COMMIT DROP
"""
_ENQUEUE = """
INSERT INTO domains.openai_answer (prompt_hash, request, facts, prompt_bound, completion_bound)
SELECT DISTINCT ON (prompt_hash) * FROM new_prompt ORDER BY prompt_hash
ON CONFLICT DO NOTHING
"""
_STANDING = """
SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'asked'),
       count(*) FILTER (WHERE state = 'batched'), count(*) FILTER (WHERE state = 'answered'),
       count(*) FILTER (WHERE state = 'rejected')
FROM domains.openai_answer a
WHERE EXISTS (SELECT FROM domains.summary_prompt s
              WHERE s.month = %s AND s.prompt_hash = a.prompt_hash)
"""
_EXHAUSTED = """
SELECT count(*) FROM domains.openai_answer a
WHERE a.state = 'pending' AND a.failures >= %s
  AND EXISTS (SELECT FROM domains.summary_prompt s
              WHERE s.month = %s AND s.prompt_hash = a.prompt_hash)
"""
_COSTS = """
SELECT count(*), count(*) FILTER (WHERE paid = 'yes'), count(*) FILTER (WHERE paid = 'maybe'),
       coalesce(sum(prompt_tokens), 0)::bigint, coalesce(sum(completion_tokens), 0)::bigint,
       coalesce(sum(cost), 0)::bigint, coalesce(sum(written_off), 0)::bigint
FROM domains.openai_attempt WHERE budget = %s
"""
_RESULTS = """
SELECT result, count(*) FROM domains.openai_attempt WHERE budget = %s GROUP BY result ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request to be made once: the body of a chat completion, and what its review needs."""

    prompt_hash: str
    request: Mapping[str, Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Distinct prompts of a month by the state of their answers."""

    pending: int
    asked: int
    batched: int
    answered: int
    rejected: int

    @property
    def left(self) -> int:
        """Those without an answer."""
        return self.pending + self.asked + self.batched

    @property
    def total(self) -> int:
        """All of them."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Costs:
    """What a month's budget was spent on. Money in micro-dollars.

    ``written_off`` is what requests may have cost whose answers never came, at their worst.
    """

    #: Requests by what came of them.
    results: Mapping[str, int]
    requests: int
    paid: int
    maybe_paid: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    written_off: int

    @property
    def spent(self) -> int:
        """What counts against the budget."""
        return self.cost + self.written_off


def budget_key(month: date) -> str:
    """Every report month has a budget of its own."""
    return f"{month:%Y-%m}"


def enqueue(conn: Connection, prompts: Iterable[Prompt]) -> int:
    """Put those in that are not there yet, and say how many were new.

    Known ones stay as they are, answers included. In the caller's transaction: needs one. Raises
    ValueError for a request without a limit of tokens.
    """
    conn.execute(_NEW)
    with conn.cursor() as cursor:
        with cursor.copy("COPY new_prompt FROM STDIN") as copy:
            for one in prompts:
                bounds = Bounds.of(one.request)
                copy.write_row(
                    (
                        one.prompt_hash,
                        json.dumps(one.request, ensure_ascii=False),
                        json.dumps(one.facts, ensure_ascii=False),
                        bounds.prompt,
                        bounds.completion,
                    )
                )
        new = cursor.execute(_ENQUEUE).rowcount
    conn.execute("DROP TABLE new_prompt")
    return new


def standing(conn: Connection, month: date) -> Standing:
    """How far a month is."""
    row = conn.execute(_STANDING, (month,)).fetchone()
    return Standing(*(row or (0,) * 5))


def left(conn: Connection, month: date) -> int:
    """Prompts of the month without an answer, whoever asks for them."""
    return standing(conn, month).left


def exhausted(conn: Connection, month: date, attempts: int) -> int:
    """Prompts of the month that failed so often that a run leaves them to the next."""
    row = conn.execute(_EXHAUSTED, (attempts, month)).fetchone()
    return row[0] if row else 0


def costs(conn: Connection, month: date) -> Costs:
    """What was paid at the month's expense, every attempt included."""
    key = (budget_key(month),)
    figures = conn.execute(_COSTS, key).fetchone() or ()
    return Costs(dict(conn.execute(_RESULTS, key).fetchall()), *figures)
