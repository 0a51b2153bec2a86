"""One client of each system, opened when it is first asked for and again when the system is back.

Belongs here: the clients' lives. Does not: how one connects (``resources``).
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from assets.pipelines import landed_of, quarantine_bucket
from resources.configured import configured
from resources.milvus import sdk

if TYPE_CHECKING:
    import psycopg
    from google.cloud.bigquery import Client as BigQuery
    from google.cloud.pubsub_v1 import PublisherClient
    from minio import Minio
    from neo4j import Driver
    from openai import OpenAI
    from psycopg_pool import ConnectionPool
    from pymilvus import MilvusClient
    from typesense.sync.client import Client as Typesense

    from landing.stores.base import ObjectStore

CONNECTIONS = 16
_WAIT = 5.0
#: What answers of each pipeline come from, and where its rejected rows lie; keys and the ledger are
#: in Postgres.
_SYSTEMS = {
    "campaigns": ("bigquery", "neo4j", "milvus", "gcs"),
    "music": ("milvus", "typesense", "openai", "minio"),
    "reading": ("bigquery", "gcs", "pubsub"),
    "domains": ("s3",),
    "images": ("minio",),
}
#: Where rejected rows and results lie: opened for the time of one question, but the client of
#: MinIO that results are read by, and by one at a time, since
#: boto3's clients are not to be made by several threads at once.
BUCKETS = ("gcs", "s3", "minio")
MAKING = {name: threading.Lock() for name in BUCKETS}

#: What the clients are made of; pymilvus is imported by one module alone.
_SDKS = {
    "postgres": "psycopg_pool",
    "bigquery": "google.cloud.bigquery",
    "neo4j": "neo4j",
    "milvus": "numpy",
    "typesense": "typesense",
    "openai": "openai",
    "gcs": "google.cloud.storage",
    "s3": "boto3",
    "minio": "minio",
    "pubsub": "google.cloud.pubsub_v1",
}


def systems_of(pipelines: Iterable[str]) -> tuple[str, ...]:
    """What answers of these pipelines come from."""
    needed = [name for pipeline in pipelines for name in _SYSTEMS.get(pipeline, ())]
    return tuple(dict.fromkeys(("postgres", *needed)))


def preload(systems: Iterable[str]) -> None:
    """Import what the clients are made of: their first use would wait seconds for it."""
    importlib.import_module("polars")  # rejected rows are read by it
    for name in systems:
        importlib.import_module(_SDKS[name])
        if name == "milvus":
            sdk()


@contextmanager
def quarantine(pipeline: str, source: str, bucket: str) -> Iterator[ObjectStore]:
    """A bucket in which rejected rows of a source lie. Raises as pipelines.quarantine_bucket."""
    with ExitStack() as stack:
        with MAKING[landed_of(pipeline, source).store]:
            store = stack.enter_context(quarantine_bucket(pipeline, source, bucket))
        yield store


class Clients:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Any, ExitStack]] = {}
        self._opened_by: dict[str, Callable[[ExitStack], Any]] = {
            "postgres": self._postgres,
            "bigquery": lambda stack: _closing(stack, configured("bigquery").client()),
            "neo4j": lambda stack: _closing(stack, configured("neo4j").driver()),
            "milvus": lambda stack: _closing(stack, configured("milvus").client()),
            "typesense": lambda stack: stack.enter_context(configured("typesense").client()),
            "openai": lambda stack: stack.enter_context(configured("openai").client()),
            "minio": lambda _: configured("minio").client(),
            "pubsub": lambda stack: stack.enter_context(configured("pubsub").publisher()),
        }
        self._locks = {name: threading.Lock() for name in self._opened_by}
        self._derived: dict[tuple[str, ...], Any] = {}

    @contextmanager
    def postgres(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection, given back at the end."""
        pool: ConnectionPool[Any] = self._client("postgres")
        with pool.connection() as connection:
            yield connection

    @property
    def bigquery(self) -> BigQuery:
        """Of the project."""
        client: BigQuery = self._client("bigquery")
        return client

    @property
    def neo4j(self) -> Driver:
        """With its own pool."""
        driver: Driver = self._client("neo4j")
        return driver

    @property
    def milvus(self) -> MilvusClient:
        """With one channel."""
        client: MilvusClient = self._client("milvus")
        return client

    @property
    def typesense(self) -> Typesense:
        """With its own retries."""
        client: Typesense = self._client("typesense")
        return client

    @property
    def openai(self) -> OpenAI:
        """Without retries."""
        client: OpenAI = self._client("openai")
        return client

    @property
    def minio(self) -> Minio:
        """With its own pool and retries."""
        client: Minio = self._client("minio")
        return client

    @property
    def pubsub(self) -> PublisherClient:
        """With one channel."""
        client: PublisherClient = self._client("pubsub")
        return client

    def derived(self, system: str, name: str, made: Callable[[], Any]) -> Any:
        """What is made once of a system's client, and again of its next one."""
        key = (system, name)
        if key not in self._derived:
            self._derived[key] = made()
        return self._derived[key]

    def forget(self, system: str) -> None:
        """Open a new client when the system is asked next: what it knew may be of another life."""
        if system not in self._opened_by:
            return
        with self._locks[system]:
            for key in [key for key in self._derived if key[0] == system]:
                self._derived.pop(key, None)
            found = self._open.pop(system, None)
        if found:
            found[1].close()

    def close(self) -> None:
        """Close all that are open."""
        for name in list(self._open):
            self.forget(name)

    def _client(self, name: str) -> Any:
        found = self._open.get(name)
        if found is None:
            with self._locks[name]:
                found = self._open.get(name)
                if found is None:
                    stack = ExitStack()
                    found = self._opened_by[name](stack), stack
                    self._open[name] = found
        return found[0]

    def _postgres(self, stack: ExitStack) -> Any:
        pool = configured("postgres").pool(CONNECTIONS, wait=_WAIT)
        return stack.enter_context(pool)


def _closing(stack: ExitStack, client: Any) -> Any:
    stack.callback(client.close)
    return client
