"""What a request must bring: a key with the route's scope, and not too often.

Belongs here: the dependency of every route, the keys that the service knows at the moment. Does
not: what a key is (``keys.py``).

Keys are read again every few seconds, which is how soon one that is revoked opens nothing. While
Postgres is away those that were read last go on: the other systems still answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fastapi import Request
from fastapi.security import HTTPBearer
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from api import keys
from api.keys import Key, Scope
from api.problems import ProblemError

if TYPE_CHECKING:
    from api.clients import Clients
    from api.stores import Stores

#: Seconds for which the keys that were read are believed.
KNOWN_SECONDS = 5.0
#: Seconds between reads for the sake of a key that nobody knows: anyone can present those.
_UNKNOWN_SECONDS = 0.1

_BEARER = "HTTPBearer"
_HEADER = "X-API-Key"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="quintet"'}


class Access:
    """The keys that open, and how often each has been used lately."""

    def __init__(self, stores: Stores, clients: Clients) -> None:
        self._stores, self._clients = stores, clients
        self._keys: dict[str, Key] = {}
        self._read_at: float | None = None
        self._reading = asyncio.Lock()
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    async def admit(self, presented: str, scope: Scope) -> Key:
        """The key of a request.

        Raises ProblemError: 401 without a key that is known, 403 without the scope, 429 past its
        limit, 503 when no key could ever be read.
        """
        key = await self._known(presented) if presented else None
        if key is None:
            said = "the key is not known, or revoked" if presented else "the request has no key"
            raise ProblemError(
                401, "key_required", "A key is needed", said,
                then="Send `Authorization: Bearer <key>`; `make api-key NAME=…` makes one.",
                headers=_CHALLENGE,
            )  # fmt: skip
        if not key.allows(scope):
            raise ProblemError(
                403, "scope_missing", "The key may not do this",
                f"the route needs the scope {scope}, the key has {', '.join(sorted(key.scopes))}",
                then=f"Use a key with the scope {scope}.", scope=scope,
            )  # fmt: skip
        await self._require_rate(key)
        return key

    async def _require_rate(self, key: Key) -> None:
        limit = RateLimitItemPerMinute(key.requests_per_minute)
        if await self._limiter.hit(limit, key.key_id):
            return
        window = await self._limiter.get_window_stats(limit, key.key_id)
        after = max(1, int(window.reset_time - time.time()) + 1)
        raise ProblemError(
            429, "too_many_requests", "Too many requests",
            f"the key may make {key.requests_per_minute} requests a minute",
            then=f"Ask again in {after} s.", headers={"Retry-After": str(after)},
            retry_after_seconds=after,
        )  # fmt: skip

    async def _known(self, presented: str) -> Key | None:
        if self._age() > KNOWN_SECONDS:
            await self._read()
        found = keys.recognised(self._keys, presented)
        return found or await self._known_by_now(presented)

    async def _known_by_now(self, presented: str) -> Key | None:
        """A key that may have been made since keys were read; all who wait share one read."""
        asked = time.monotonic()
        await asyncio.sleep(max(_UNKNOWN_SECONDS - self._age(), 0))
        async with self._reading:
            if self._read_at is None or self._read_at < asked:
                await self._read()
        return keys.recognised(self._keys, presented)

    def _age(self) -> float:
        return float("inf") if self._read_at is None else time.monotonic() - self._read_at

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            self._keys = await self._stores.ask(["postgres"], self._current)
        except ProblemError:
            if self._read_at is None:
                raise
        self._read_at = began

    def _current(self) -> dict[str, Key]:
        with self._clients.postgres() as connection:
            return keys.current(connection)


class _Needs(HTTPBearer):
    """One dependency, not one for each way to present a key: it is paid by every request."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(
            scheme_name=_BEARER, auto_error=False, description="A key made by `make api-key`."
        )
        self._scope = scope

    async def __call__(self, request: Request) -> Key:  # type: ignore[override]
        return await admitted(request, self._scope)


def needs(scope: Scope) -> Callable[..., Coroutine[Any, Any, Key]]:
    """The dependency of routes that need the scope."""
    return _Needs(scope)


async def admitted(request: Request, scope: Scope) -> Key:
    """The key of a request. Raises as Access.admit."""
    # Only the service itself puts one there: a tool is asked as its route.
    key: Key | None = getattr(request.state, "key", None)
    if key is None or not key.allows(scope):
        kind, _, presented = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            presented = request.headers.get(_HEADER, "")
        access: Access = request.app.state.access
        key = await access.admit(presented, scope)
    request.state.key, request.state.key_id = key, key.key_id
    return key


def describe(schema: dict[str, Any]) -> None:
    """Add to an OpenAPI document that a key may come in a header of its own, too."""
    schemes = schema["components"].setdefault("securitySchemes", {})
    schemes["APIKeyHeader"] = {
        "type": "apiKey", "in": "header", "name": _HEADER, "description": "The same in a header.",
    }  # fmt: skip
    for methods in schema["paths"].values():
        for operation in methods.values():
            if {_BEARER: []} in operation.get("security", []):
                operation["security"].append({"APIKeyHeader": []})
