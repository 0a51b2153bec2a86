"""What a request must bring: a key with the route's scope, and not too often.

Belongs here: the dependency of every route, the keys that the service knows at the moment. Does
not: what a key is (``keys.py``).

Keys are read again every few seconds, which is how soon one that is revoked opens nothing. While
Postgres is away those that were read last go on: the other systems still answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from api import keys
from api.keys import Key, Scope
from api.problems import ProblemError

if TYPE_CHECKING:
    from api.clients import Clients
    from api.stores import Stores

#: Seconds for which the keys that were read are believed.
KNOWN_SECONDS = 5.0
#: Seconds between reads for the sake of a key that nobody knows: anyone can present those.
_UNKNOWN_SECONDS = 0.5

_BEARER = HTTPBearer(auto_error=False, description="A key made by `make api-key`.")
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same in a header.")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="quintet"'}


class Access:
    """The keys that open, and how often each has been used lately."""

    def __init__(self, stores: Stores, clients: Clients) -> None:
        self._stores, self._clients = stores, clients
        self._keys: dict[str, Key] = {}
        self._read_at: float | None = None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

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
        if found is None and self._age() > _UNKNOWN_SECONDS:
            await self._read()
            found = keys.recognised(self._keys, presented)
        return found

    def _age(self) -> float:
        return float("inf") if self._read_at is None else time.monotonic() - self._read_at

    async def _read(self) -> None:
        try:
            self._keys = await self._stores.ask(["postgres"], self._current)
        except ProblemError:
            if self._read_at is None:
                raise
        self._read_at = time.monotonic()

    def _current(self) -> dict[str, Key]:
        with self._clients.postgres() as connection:
            return keys.current(connection)


def needs(scope: Scope) -> Callable[..., Coroutine[Any, Any, Key]]:
    """The dependency of routes that need the scope."""

    async def opened(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)] = None,
        header: Annotated[str | None, Security(_HEADER)] = None,
    ) -> Key:
        return await _admit(request, scope, bearer, header)

    return opened


async def admitted(request: Request, scope: Scope) -> Key:
    """The key of a request that comes to no route. Raises as Access.admit."""
    return await _admit(request, scope, await _BEARER(request), await _HEADER(request))


async def _admit(
    request: Request,
    scope: Scope,
    bearer: HTTPAuthorizationCredentials | None,
    header: str | None,
) -> Key:
    # Only the service itself puts one there: a tool is asked as its route.
    key: Key | None = getattr(request.state, "key", None)
    if key is None or not key.allows(scope):
        access: Access = request.app.state.access
        key = await access.admit(bearer.credentials if bearer else header or "", scope)
    request.state.key, request.state.key_id = key, key.key_id
    return key
