"""Milvus, through pymilvus.

Belongs here: how to import it, to connect, and to write a string into a filter. Does not: any
collection of ours.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from pymilvus import MilvusClient

#: Seconds; of every call that is not given its own.
TIMEOUT = 30.0

#: pymilvus pings an idle connection every 10 seconds; gRPC servers that keep to the default cut a
#: client off for less than 5 minutes ("too many pings").
KEEPALIVE = {"grpc.keepalive_time_ms": 300_000, "grpc.keepalive_permit_without_calls": False}

_NO_DOTENV = "PYTHON_DOTENV_DISABLED"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def sdk() -> ModuleType:
    """Pymilvus, to be imported by this only.

    Its import reads the `.env` that is found from its own folder upwards: variables of a checkout
    would appear in the middle of a process. Who has set PYTHON_DOTENV_DISABLED has decided.
    """
    decided = _NO_DOTENV in os.environ
    if not decided:
        os.environ[_NO_DOTENV] = "1"
    try:
        import pymilvus
    finally:
        if not decided:
            # Another thread's import may have been quicker.
            os.environ.pop(_NO_DOTENV, None)
    module: ModuleType = pymilvus
    return module


class MilvusResource(dg.ConfigurableResource[Any]):
    """One Milvus, at ``http(s)://host:port``.

    ``token`` is ``user:password``, an API key or empty.
    """

    uri: str
    token: str = ""
    timeout: float = TIMEOUT

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no token."""
        yield "uri", self.uri

    def client(self) -> MilvusClient:
        """A new client, connected; ``close()`` it.

        Raises pymilvus.MilvusException when the server cannot be reached.
        """
        client: MilvusClient = sdk().MilvusClient(
            uri=self.uri, token=self.token, timeout=self.timeout, grpc_options=KEEPALIVE
        )
        return client

    def check(self) -> str:
        """Who is reachable, in one line. Raises pymilvus.MilvusException."""
        client = self.client()
        try:
            version = client.get_server_version(timeout=10)
            count = len(client.list_collections(timeout=10))
        finally:
            client.close()
        who = "with a token" if self.token else "no authentication"
        return f"Milvus {version}, {count} collections, {who}"


def one_of(field: str, values: Iterable[str]) -> str:
    """The filter ``field in [...]`` with every value escaped.

    pymilvus itself puts ids between quotes unescaped, and the embedded server knows no filter
    templates, so values are written as literals: backslash, quote and line ends escaped.
    """
    literals = ",".join(f'"{value.translate(_ESCAPES)}"' for value in values)
    return f"{field} in [{literals}]"
