"""Milvus, through pymilvus.

Belongs here: how to import it, to connect, and to write a string into a filter. Does not: any
collection of ours.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from pymilvus import MilvusClient

#: Seconds; of every call that is not given its own, and of those that wait for work of the server.
TIMEOUT = 30.0
WORK_TIMEOUT = 60.0
_WORK = frozenset({"create_index", "flush", "load_collection"})
#: Those that take a timeout without saying so.
_UNDECLARED = frozenset({"list_collections", "list_indexes"})

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

    ``token`` is ``user:password``, an API key or empty. ``index`` says which index vectors get, see
    ``assets/sinks/milvus_index.py``.
    """

    uri: str
    token: str = ""
    index: str = "auto"
    timeout: float = TIMEOUT

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no token."""
        yield "uri", self.uri

    def client(self) -> MilvusClient:
        """A new client, connected; ``close()`` it.

        Raises pymilvus.MilvusException when the server cannot be reached.
        """
        bounds = self.timeout, max(self.timeout, min(2 * self.timeout, WORK_TIMEOUT))
        kind = _bounded(sdk().MilvusClient, *bounds)
        client: MilvusClient = kind(
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


def _bounded(kind: type[Any], seconds: float, work_seconds: float) -> type[Any]:
    """The client whose calls all have a timeout.

    Its own is for connecting only: without one, a call waits for a silent server without end.
    """

    def bound(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        most = work_seconds if name in _WORK else seconds

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("timeout") is None:
                kwargs["timeout"] = most
            return method(*args, **kwargs)

        return call

    methods = inspect.getmembers(kind, inspect.isfunction)
    taking = {
        name: bound(name, method)
        for name, method in methods
        if name in _UNDECLARED
        or (not name.startswith("_") and "timeout" in inspect.signature(method).parameters)
    }
    return type(f"Bounded{kind.__name__}", (kind,), taking)


def one_of(field: str, values: Iterable[str]) -> str:
    """The filter ``field in [...]`` with every value escaped.

    pymilvus itself puts ids between quotes unescaped, and the embedded server knows no filter
    templates, so values are written as literals: backslash, quote and line ends escaped.
    """
    literals = ",".join(f'"{value.translate(_ESCAPES)}"' for value in values)
    return f"{field} in [{literals}]"
