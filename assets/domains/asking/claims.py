"""Claiming prompts and their worst-case cost, giving them back, finding what a dead owner left.

Belongs here: one worker's side of the ledger before a request is sent. Does not: what comes after
it (``writer``), the statements (``statements``).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from assets.domains.asking import statements
from assets.domains.asking.ledger import budget_key
from assets.domains.asking.limits import AskingLimits, Bounds, Prices
from assets.domains.asking.outcome import Reask
from resources.advisory_locks import Lock, is_held, take

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]
    AsyncConnection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Claim:
    """One request to be sent: the first one's body and what changes in it, paid for in advance."""

    prompt_hash: str
    first: Mapping[str, Any]
    facts: Mapping[str, Any]
    reask: Reask
    attempt: int
    failures: int
    reserved: int
    bounds: Bounds

    @classmethod
    def of(cls, row: Sequence[Any]) -> Claim:
        """From a row of the statement CLAIM."""
        prompt_hash, request, facts, reask, attempt, failures, reserved, *bounds = row
        again = Reask.parse(reask)
        return cls(prompt_hash, request, facts, again, attempt, failures, reserved, Bounds(*bounds))

    @property
    def request(self) -> dict[str, Any]:
        """The body to send."""
        return self.reask.request(self.first)


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim brought; ``unaffordable`` prompts are due, too, and the budget has no room."""

    claims: tuple[Claim, ...]
    unaffordable: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """Prompts that are not answered: to be asked, given up, asked by others; seconds to the next.

    ``next_in`` may be negative, and is None when ``open`` is 0.
    """

    open: int
    exhausted: int
    elsewhere: int
    next_in: float | None


@contextmanager
def ownership(postgres: PostgresResource) -> Iterator[tuple[str, Connection]]:
    """A new owner of claims, alive as long as the session of the connection that comes with it.

    Raises psycopg.OperationalError.
    """
    owner = uuid.uuid4().hex
    with postgres.connect(autocommit=True) as session:
        take(session, Lock.OPENAI_ASKER, owner)
        yield owner, session


def recover(conn: Connection) -> int:
    """Give back what owners had asked whose sessions have ended, and write it off.

    Returns how many prompts. ``conn`` is in autocommit mode.
    """
    owners = [row[0] for row in conn.execute(statements.ASKERS)]
    dead = [owner for owner in owners if not is_held(conn, Lock.OPENAI_ASKER, owner)]
    found = 0
    for owner in dead:
        row = conn.execute(statements.RECOVER, {"owner": owner}).fetchone()
        found += row[0] if row else 0
    return found


def open_budget(conn: Connection, month: date, limits: AskingLimits) -> None:
    """Set the month's budget to what is configured now."""
    maximum = {"budget": budget_key(month), "maximum": limits.budget_micros}
    conn.execute(statements.OPEN_BUDGET, maximum)


def forgive(conn: Connection, month: date, limits: AskingLimits) -> None:
    """Give prompts another chance that an earlier run had given up."""
    conn.execute(statements.FORGIVE, {"month": month, "failures": limits.attempts})


class Claims:
    """One owner's claims of a month, through one connection in autocommit mode."""

    def __init__(
        self, conn: AsyncConnection, owner: str, month: date, limits: AskingLimits
    ) -> None:
        self._conn, self._owner = conn, owner
        self._parameters = claim_parameters(month, limits.prices, limits.attempts)
        self._parameters |= {"owner": owner, "state": "asked", "batch": None}

    async def claim(self, limit: int) -> Claimed:
        """At most ``limit`` prompts that are due, their worst-case cost reserved. Retries first."""
        cursor = await self._conn.execute(statements.CLAIM, {**self._parameters, "limit": limit})
        return claimed(await cursor.fetchall())

    async def release(self, claims: Sequence[Claim]) -> None:
        """Give back what was not asked."""
        hashes = [claim.prompt_hash for claim in claims]
        await self._conn.execute(statements.RELEASE, {"owner": self._owner, "hashes": hashes})

    async def outlook(self) -> Outlook:
        """What else there is to do."""
        cursor = await self._conn.execute(statements.OUTLOOK, self._parameters)
        return Outlook(*(await cursor.fetchone() or (0, 0, 0, None)))

    async def in_flight(self) -> bool:
        """Whether any worker asks anything at the expense of this budget."""
        cursor = await self._conn.execute(statements.IN_FLIGHT, self._parameters)
        row = await cursor.fetchone()
        return bool(row and row[0])


def claim_parameters(month: date, prices: Prices, failures: int) -> dict[str, Any]:
    """What the statement CLAIM needs but for who claims, how many and what for."""
    return {
        "month": month,
        "budget": budget_key(month),
        "input": prices.input,
        "output": prices.output,
        "failures": failures,
    }


def claimed(rows: Sequence[Sequence[Any]]) -> Claimed:
    """From the rows of the statement CLAIM."""
    claims = tuple(Claim.of(row) for row in rows if row[1] is not None)
    return Claimed(claims, len(rows) - len(claims))
