"""Who may ask: keys with scopes, of which only a hash is kept.

Belongs here: making, revoking and recognising keys. Does not: their limits (``limits.py``), or
routes' scopes.

A key is ``qk_<id>.<secret>``. The secret has 256 random bits, so that its SHA-256 tells nothing
about it: a slow hash is for words that people choose (RFC 9106 says so of its own purpose).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
REQUESTS_PER_MINUTE = 600

_PREFIX = "qk_"
_ID_BYTES = 9
_SECRET_BYTES = 32
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that is not revoked."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    secret_sha256: bytes
    requests_per_minute: int

    def allows(self, scope: Scope) -> bool:
        """Whether it has the scope; ``admin`` has all."""
        return scope in self.scopes or "admin" in self.scopes


def make(
    connection: Connection,
    name: str,
    scopes: Collection[Scope],
    requests_per_minute: int = REQUESTS_PER_MINUTE,
) -> str:
    """Store a new key; returns it, which nobody can do later.

    Raises ValueError for no scope or one that there is not, or no requests a minute.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ValueError(f"scopes are of {', '.join(SCOPES)}, not {', '.join(scopes) or 'none'}")
    if requests_per_minute < 1:
        raise ValueError("a key may make one request a minute or more")
    key_id = _PREFIX + secrets.token_urlsafe(_ID_BYTES)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    connection.execute(
        "INSERT INTO api.key (key_id, name, scopes, secret_sha256, requests_per_minute)"
        " VALUES (%s, %s, %s, %s, %s)",
        (key_id, name, sorted(set(scopes)), _hashed(secret), requests_per_minute),
    )
    return f"{key_id}.{secret}"


def revoke(connection: Connection, key_id: str) -> bool:
    """Let the key open nothing any more; False where there is no such key, or it is revoked."""
    done = connection.execute(
        "UPDATE api.key SET revoked_at = now() WHERE key_id = %s AND revoked_at IS NULL", (key_id,)
    )
    return done.rowcount == 1


def current(connection: Connection) -> dict[str, Key]:
    """All keys that are not revoked, by id."""
    rows = connection.execute(
        "SELECT key_id, name, scopes, secret_sha256, requests_per_minute FROM api.key"
        " WHERE revoked_at IS NULL"
    )
    return {row[0]: Key(row[0], row[1], frozenset(row[2]), row[3], row[4]) for row in rows}


def recognised(keys: dict[str, Key], presented: str) -> Key | None:
    """The key that was presented; as long is looked for one that there is not."""
    key_id, _, secret = presented.partition(".")
    found = keys.get(key_id)
    same = hmac.compare_digest(_hashed(secret), found.secret_sha256 if found else _NOBODY)
    return found if found and same else None


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
