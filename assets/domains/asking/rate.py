"""Rate limits of requests and tokens a minute over all workers, in one row of Postgres.

Belongs here: the arithmetic, and taking slices of it. Does not: the answers that change the
limits (``calling`` reads them), waiting for one prompt's Retry-After.

The generic cell rate algorithm, once for requests and once for tokens: a theoretical arrival time
moves by what is taken, and what it is behind now, up to CATCH_UP, may be caught up.
https://www.itu.int/rec/T-REC-I.371
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    AsyncConnection = psycopg.AsyncConnection[Any]

#: Seconds of the rate that may be caught up, and that one worker takes at a time.
CATCH_UP = 1.0
SLICE = 0.25
#: A 429 of a full account cuts the rate to this share, at most once in CUT_SECONDS, down to LEAST;
#: it grows back by GROWTH a second.
CUT, CUT_SECONDS, LEAST, GROWTH = 0.8, 1.0, 0.2, 0.02
#: The longest that a full account stops all workers.
LONGEST_HOLD = 30.0

_MAKE = "INSERT INTO domains.openai_rate (key) VALUES (%s) ON CONFLICT DO NOTHING"
_LOCK = """
SELECT requests_at, tokens_at, factor, cut_at, raised_at, told_requests, told_tokens,
       extract(epoch FROM clock_timestamp())::double precision
FROM domains.openai_rate WHERE key = %s FOR UPDATE
"""
_STORE = """
UPDATE domains.openai_rate
SET requests_at = %s, tokens_at = %s, factor = %s, cut_at = %s, raised_at = %s,
    told_requests = %s, told_tokens = %s
WHERE key = %s
"""
#: The row says nothing that a crash of the server may not lose.
_SOFT = "SET LOCAL synchronous_commit = off"


@dataclass(frozen=True, slots=True)
class RateState:
    """The row: theoretical arrival times (seconds of the epoch), and what the limits are times."""

    requests_at: float = 0.0
    tokens_at: float = 0.0
    factor: float = 1.0
    cut_at: float = 0.0
    raised_at: float = 0.0
    told_requests: float | None = None
    told_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """Limits a minute; 0 for none."""

    requests: float = 0.0
    tokens: float = 0.0

    def within(self, state: RateState) -> Pace:
        """The lower of what is configured and told, times the factor."""
        return Pace(
            _lower(self.requests, state.told_requests) * state.factor,
            _lower(self.tokens, state.told_tokens) * state.factor,
        )

    def seconds(self, requests: int, tokens: int) -> float:
        """How much time so many take up; 0 without limits."""
        return max(_share(requests, self.requests), _share(tokens, self.tokens))


@dataclass(frozen=True, slots=True)
class Lease:
    """Requests that may start at ``start`` (seconds of the epoch) and every ``step`` after it."""

    start: float
    step: float
    requests: int


def take(
    state: RateState, configured: Pace, now: float, requests: int, tokens_each: int
) -> tuple[RateState, Lease]:
    """Take at most SLICE seconds' worth of the rate, at least one request, at most ``requests``."""
    raised = min(1.0, state.factor + GROWTH * max(0.0, now - max(state.raised_at, state.cut_at)))
    state = replace(state, factor=raised, raised_at=now)
    pace = configured.within(state)
    step = pace.seconds(1, tokens_each)
    if step == 0:
        return state, Lease(now, 0.0, requests)
    count = max(1, min(requests, int(SLICE / step)))
    first_request = max(state.requests_at, now - CATCH_UP)
    first_token = max(state.tokens_at, now - CATCH_UP)
    start = max(first_request, first_token)
    taken = replace(
        state,
        requests_at=first_request + _share(count, pace.requests),
        tokens_at=first_token + _share(count * tokens_each, pace.tokens),
    )
    return taken, Lease(start, step, count)


def cut(state: RateState, now: float, wait: float) -> RateState:
    """After a 429 of a full account: less of the rate, and nothing for ``wait`` seconds."""
    until = now + min(wait, LONGEST_HOLD)
    held = replace(
        state, requests_at=max(state.requests_at, until), tokens_at=max(state.tokens_at, until)
    )
    if now - state.cut_at < CUT_SECONDS:
        return held
    return replace(held, factor=max(LEAST, state.factor * CUT), cut_at=now)


def told(state: RateState, requests: float | None, tokens: float | None) -> RateState:
    """With the limits a minute that the server's headers named last."""
    return replace(
        state,
        told_requests=requests or state.told_requests,
        told_tokens=tokens or state.told_tokens,
    )


class RateLimiter:
    """The row as one worker sees it; for one event loop, on a connection of its own."""

    def __init__(self, conn: AsyncConnection, key: str, configured: Pace) -> None:
        self._conn, self._key, self._configured = conn, key, configured
        self._turn = asyncio.Lock()
        self._left, self._next, self._step = 0, 0.0, 0.0
        self._hold = 0.0
        self._told: tuple[float | None, float | None] = (None, None)

    async def open(self) -> None:
        """Make the row where there is none."""
        await self._conn.execute(_MAKE, (self._key,))

    @property
    def limited(self) -> bool:
        """Whether there is any limit to keep to."""
        return any((self._configured.requests, self._configured.tokens, *self._told))

    async def acquire(self, tokens: int, wanted: int) -> None:
        """Return when a request of ``tokens`` may start; ``wanted`` could start soon."""
        if not self.limited:
            return
        async with self._turn:
            if not self._left:
                await self._lease(tokens, wanted)
            self._left -= 1
            at = self._next
            self._next += self._step
        await _sleep_until(at)
        while self._hold > time.monotonic():
            await _sleep_until(self._hold)

    async def full(self, wait: float) -> None:
        """A 429 said that the account's limit is used up."""
        self._hold = max(self._hold, time.monotonic() + min(wait, LONGEST_HOLD))
        self._left = 0
        if self.limited:
            await self._change(lambda state, now: cut(state, now, wait))

    async def heard(self, requests: float | None, tokens: float | None) -> None:
        """An answer's headers named limits."""
        if (requests, tokens) in {(None, None), self._told}:
            return
        self._told = (requests or self._told[0], tokens or self._told[1])
        await self._change(lambda state, _now: told(state, requests, tokens))

    async def _lease(self, tokens: int, wanted: int) -> None:
        async with self._conn.transaction():
            state, now = await self._locked()
            state, lease = take(state, self._configured, now, max(1, wanted), tokens)
            await self._store(state)
        self._left, self._step = lease.requests, lease.step
        self._next = time.monotonic() + lease.start - now

    async def _change(self, change: Any) -> None:
        async with self._turn, self._conn.transaction():
            state, now = await self._locked()
            await self._store(change(state, now))

    async def _locked(self) -> tuple[RateState, float]:
        await self._conn.execute(_SOFT)
        cursor = await self._conn.execute(_LOCK, (self._key,))
        row = await cursor.fetchone()
        if row is None:
            raise LookupError(f"no row of openai_rate for {self._key}")
        return RateState(*row[:-1]), row[-1]

    async def _store(self, state: RateState) -> None:
        await self._conn.execute(
            _STORE,
            (
                state.requests_at,
                state.tokens_at,
                state.factor,
                state.cut_at,
                state.raised_at,
                state.told_requests,
                state.told_tokens,
                self._key,
            ),
        )


async def _sleep_until(at: float) -> None:
    left = at - time.monotonic()
    if left > 0:
        await asyncio.sleep(left)


def _lower(configured: float, told_limit: float | None) -> float:
    limits = [limit for limit in (configured, told_limit) if limit]
    return min(limits) if limits else 0.0


def _share(count: int, per_minute: float) -> float:
    return 60.0 * count / per_minute if per_minute else 0.0
