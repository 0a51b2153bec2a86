"""Typesense, through its own client.

Belongs here: how to connect, and how a document's id is written into an address. Does not: any
collection of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import dagster as dg

if TYPE_CHECKING:
    from typesense.sync.client import Client

#: Seconds of one attempt at a call; an import of 1,000 songs takes one.
TIMEOUT = 15.0
#: Attempts after the first, for broken connections and 5xx only; seconds between them.
RETRIES = 2
RETRY_INTERVAL = 0.5

_PORTS = {"http": 80, "https": 443}


class TypesenseResource(dg.ConfigurableResource[Any]):
    """One Typesense at ``http(s)://host[:port][/path]`` and its API key."""

    url: str
    api_key: str
    timeout: float = TIMEOUT

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no key."""
        yield "url", self.url

    @contextmanager
    def client(self, *, timeout: float | None = None, retries: int = RETRIES) -> Iterator[Client]:
        """A new client; it connects at its first call. Raises ValueError for no such address."""
        import typesense

        parts = urlsplit(self.url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError(f"TYPESENSE_URL must be http(s)://host[:port], not {self.url!r}")
        client = typesense.Client(
            {
                "nodes": [
                    {
                        "protocol": parts.scheme,
                        "host": parts.hostname,
                        "port": parts.port or _PORTS[parts.scheme],
                        "path": parts.path.rstrip("/"),
                    }
                ],
                "api_key": self.api_key,
                "connection_timeout_seconds": timeout or self.timeout,
                "num_retries": retries,
                "retry_interval_seconds": RETRY_INTERVAL,
            }
        )
        try:
            yield client
        finally:
            client.api_call.close()

    def check(self) -> str:
        """What is reachable, in one line. Raises typesense's and httpx's errors."""
        with self.client(timeout=10.0, retries=0) as client:
            version = client.debug.retrieve()["version"]
            count = len(client.collections.retrieve())
        return f"Typesense {version}, {count} collections, with an API key"


def in_address(document_id: str) -> str:
    """A document's id as part of an address; the client itself does not escape it.

    Raises ValueError for ``.`` and ``..``, which addresses cannot hold: ``DELETE …/documents/..``
    would remove the collection.
    """
    if document_id in {".", ".."}:
        raise ValueError(f"a document {document_id!r} has no address of its own")
    return quote(document_id, safe="")
