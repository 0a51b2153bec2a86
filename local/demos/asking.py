"""Asking the query service, as any client would.

Belongs here: one client with a key of its own. Does not: what is asked, or what is right
(the module of each pipeline).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from api import keys
from resources.postgres import PostgresResource

_NAME = "demo"
#: Seconds for which somebody follows Retry-After: on a busy machine a system seems away at times.
_PATIENCE = 60.0
_TIMEOUT = 60.0


class RefusedError(RuntimeError):
    """The service did not answer; the message is its problem."""


class QueryService:
    """Answers by their addresses."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, *path: str, **parameters: Any) -> Any:
        """The body of the answer; parts of the path may hold anything. Raises RefusedError."""
        address = "/" + "/".join(quote(part, safe="") for part in path)
        end = time.monotonic() + _PATIENCE
        while True:
            answer = self._client.get(address, params=parameters)
            after = answer.headers.get("retry-after")
            if answer.is_success:
                return answer.json()
            if after is None or time.monotonic() > end:
                raise RefusedError(f"GET {answer.url} said {answer.status_code}: {answer.text}")
            time.sleep(float(after))


@contextmanager
def query_service(url: str, postgres: PostgresResource) -> Iterator[QueryService]:
    """The service at ``url``, which is asked with a key that opens nothing afterwards."""
    with postgres.connect(autocommit=True) as connection:
        key = keys.make(connection, _NAME, ["read"])
        try:
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT) as client:
                yield QueryService(client)
        finally:
            keys.revoke(connection, key.partition(".")[0])
