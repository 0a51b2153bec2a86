"""Servers for tests: one stack shared by the whole session, an isolated environment per test.

Belongs here: what a test needs of the stack. Does not: pytest fixtures (``conftest``).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from assets.pipelines import PIPELINES, required
from local.service import HOST, REPOSITORY
from local.services import gcs, music_services, postgres, pubsub, s3
from local.stack import Stack
from resources.milvus import KEEPALIVE

#: Every variable that application code reads. A test sees only those of its own servers.
VARIABLES = (
    "DAGSTER_HOME",
    "DAGSTER_POSTGRES_URL",
    "POSTGRES_URL",
    "QUINTET_PIPELINES",
    "MONGO_URI",
    "NEO4J_URI",
    "NEO4J_USER",
    "NEO4J_PASSWORD",
    "NEO4J_DATABASE",
    "MILVUS_URI",
    "MILVUS_TOKEN",
    "MILVUS_INDEX",
    "MINIO_ENDPOINT",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "STORAGE_EMULATOR_HOST",
    "PUBSUB_EMULATOR_HOST",
    "PUBSUB_COUNTS_URL",
    "BIGQUERY_API_ENDPOINT",
    "BIGQUERY_GRPC_ENDPOINT",
    "GOOGLE_CLOUD_PROJECT",
    "TYPESENSE_URL",
    "TYPESENSE_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "OPENAI_EMBEDDING_MODEL",
    "OPENAI_ORGANIZATION",
    "OPENAI_CONCURRENCY",
    "OPENAI_REQUESTS_PER_MINUTE",
    "OPENAI_TOKENS_PER_MINUTE",
    "TELEGRAM_URL",
    "TELEGRAM_BOT_TOKEN",
    "TELEGRAM_CHAT_ID",
    "ALERT_WEBHOOK_URL",
    "ALERT_WEBHOOK_TOKEN",
    "QUINTET_UI_URL",
    "QUINTET_MCP",
    "QUARANTINE_BUCKET",
    "COMPUTE_LOGS_BUCKET",
    "CAMPAIGNS_BUCKET",
    "CAMPAIGNS_PREFIX",
    "CAMPAIGNS_MONGO_DATABASE",
    "CAMPAIGNS_MONGO_COLLECTION",
    "CAMPAIGNS_MILVUS_MESSAGES",
    "CAMPAIGNS_MILVUS_PROFILES",
    "CAMPAIGNS_DATASET",
    "MUSIC_RAW_BUCKET",
    "MUSIC_RAW_PREFIX",
    "MUSIC_PROCESSED_BUCKET",
    "MUSIC_QUARANTINE_BUCKET",
    "RAW_REMOVE",
    "MUSIC_TYPESENSE_COLLECTION",
    "MUSIC_MILVUS_LYRICS",
    "MUSIC_LYRICS_URL",
    "MUSIC_LYRICS_AGAIN_AFTER_DAYS",
    "MUSIC_MUSICBRAINZ_URL",
    "MUSIC_MUSICBRAINZ_USER_AGENT",
    "MUSIC_MUSICBRAINZ_PER_SECOND",
    "READING_BUCKET",
    "READING_PREFIX",
    "READING_DATASET",
    "READING_INTERACTION_TOPIC",
    "READING_INTERACTION_SUBSCRIPTION",
    "READING_INTERACTION_DEAD_TOPIC",
    "READING_META_TOPIC",
    "READING_META_SUBSCRIPTION",
    "READING_META_DEAD_TOPIC",
    "READING_STREAM",
    "READING_MERGE_MILLISECONDS",
    "READING_RAW_DAYS",
    "READING_RAW_DAYS",
    "READING_SESSION_SECONDS",
    "READING_MAX_ATTEMPTS",
    "READING_ZONE",
    "READING_DATAFLOW_REGION",
    "READING_DATAFLOW_TEMP",
    "READING_DATAFLOW_ENDPOINT",
    "AWS_REGION",
    "DOMAINS_SOURCE_URL",
    "DOMAINS_BUCKET",
    "DOMAINS_PREFIX",
    "DOMAINS_QUARANTINE_BUCKET",
    "DOMAINS_OUTPUT_BUCKET",
    "DOMAINS_OUTPUT_PREFIX",
    "DOMAINS_MODEL",
    "DOMAINS_INPUT_PRICE",
    "DOMAINS_OUTPUT_PRICE",
    "DOMAINS_BUDGET_DOLLARS",
    "DOMAINS_MOST_MISSING_PERCENT",
    "DOMAINS_BATCH_FROM",
    "IMAGES_PRODUCTS_BUCKET",
    "IMAGES_CATALOGUE_PREFIX",
    "IMAGES_INVENTORY_PREFIX",
    "IMAGES_REQUESTS_BUCKET",
    "IMAGES_REQUESTS_PREFIX",
    "IMAGES_RESULTS_BUCKET",
    "IMAGES_STAGING_BUCKET",
    "IMAGES_QUARANTINE_BUCKET",
    "IMAGES_MODELS_BUCKET",
    "IMAGES_CLASSIFIER_URL",
    "IMAGES_WORKERS",
    "IMAGES_ITEM_SECONDS",
    "IMAGES_MOST_PIXELS",
    "IMAGES_MOST_BYTES",
    "IMAGES_ENGINE",
    "IMAGES_SHARD_FROM",
    "IMAGES_SHARD_ITEMS",
    "IMAGES_SHARD_WINDOW",
    "IMAGES_BROKER_URL",
)


def start(stack: Stack, names: list[str]) -> None:
    """Start the servers that are not up. Raises RuntimeError with the end of their logs."""
    errors = [result.error for result in stack.up(names) if result.error]
    if errors:
        raise RuntimeError("\n".join(errors))


@contextlib.contextmanager
def isolated_environment(stack: Stack, names: list[str], home: Path) -> Iterator[dict[str, str]]:
    """Variables of the running servers ``names``, with databases, buckets and names of its own.

    ``home`` becomes DAGSTER_HOME, with the repository's ``dagster.yaml`` linked in. What was made
    for the environment is removed at the end.
    """
    mark = uuid.uuid4().hex[:12]
    place = stack.place()
    variables: dict[str, str] = {"DAGSTER_HOME": str(home)}
    with contextlib.ExitStack() as cleanup:
        for name in names:
            variables.update(stack.services[name].variables(place))
            isolate = _ISOLATE.get(name)
            if isolate:
                variables.update(cleanup.enter_context(isolate(stack, variables, mark)))
        # Sensors of pipelines without their servers would fail at every tick.
        complete = [name for name in PIPELINES if variables.keys() >= {*required([name])}]
        if complete:
            variables["QUINTET_PIPELINES"] = ",".join(complete)
        (home / "dagster.yaml").symlink_to(REPOSITORY / "dagster.yaml")
        yield variables


@contextlib.contextmanager
def _postgres(stack: Stack, _variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    import psycopg
    from psycopg import sql

    place = stack.place()
    names = {"POSTGRES_URL": f"quintet_{mark}", "DAGSTER_POSTGRES_URL": f"dagster_{mark}"}
    with psycopg.connect(postgres.url(place, "postgres"), autocommit=True) as connection:
        if place.root not in _TEMPLATES:
            _lighten(connection, place.secret("postgres"))
            _TEMPLATES[place.root] = _templates(connection, lambda name: postgres.url(place, name))
        templates = _TEMPLATES[place.root]
        for variable, name in names.items():
            connection.execute(
                # Copied as files, not row by row through the log: half the time without fsync.
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                    sql.Identifier(name), sql.Identifier(templates[variable])
                )
            )
    urls = {variable: postgres.url(place, name) for variable, name in names.items()}
    # A database costs each test a copy; what domains reads has tables of its own in ours.
    yield {**urls, "DOMAINS_SOURCE_URL": urls["POSTGRES_URL"]}
    with psycopg.connect(postgres.url(place, "postgres"), autocommit=True) as connection:
        for name in names.values():
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


#: Names of the templates by the stack's directory, as this process has found or made them.
_TEMPLATES: dict[Path, dict[str, str]] = {}


def _lighten(connection: Any, password: str) -> None:
    """Take from the server what it does against accidents and thieves that no test has."""
    from psycopg import sql

    with connection.transaction():
        # Only one of the workers at a time may write to the catalogue.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('quintet.tests.role'))")
        # Of 4,096 rounds of hashing for each connection, which are a third of what it costs.
        connection.execute("SET LOCAL scram_iterations = 1")
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                sql.Identifier(postgres.USER), sql.Literal(password)
            )
        )
    # A test's server that is killed loses nothing by this: the system under it goes on.
    for setting in ("fsync", "full_page_writes"):
        connection.execute(f"ALTER SYSTEM SET {setting} = off")
    connection.execute("SELECT pg_reload_conf()")


def _templates(connection: Any, url: Callable[[str], str]) -> dict[str, str]:
    """Names of migrated, unused databases by variable; made by the first test that needs them.

    A name holds a digest of what made the tables, so that a kept stack gets a new template when
    that changes: our migrations, Dagster's version.
    """
    from migrations.upgrade import upgrade

    ours = hashlib.sha256()
    for revision in sorted((REPOSITORY / "migrations" / "versions").glob("*.py")):
        ours.update(revision.read_bytes())
    dagsters = hashlib.sha256(version("dagster-postgres").encode())
    # The lock makes the other workers wait for the first.
    connection.execute("SELECT pg_advisory_lock(hashtext('quintet.tests.template'))")
    try:
        return {
            "POSTGRES_URL": _template(
                connection, f"quintet_{ours.hexdigest()[:12]}", url, make=upgrade
            ),
            "DAGSTER_POSTGRES_URL": _template(
                connection, f"dagster_{dagsters.hexdigest()[:12]}", url, make=_dagsters_tables
            ),
        }
    finally:
        connection.execute("SELECT pg_advisory_unlock(hashtext('quintet.tests.template'))")


def _template(
    connection: Any, of: str, url: Callable[[str], str], *, make: Callable[[str], None]
) -> str:
    from psycopg import sql

    name = f"template_{of}"
    found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
    if not found.fetchone():
        unfinished = sql.Identifier(f"{name}_new")
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(unfinished))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(unfinished))
        make(url(f"{name}_new"))
        connection.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(unfinished, sql.Identifier(name))
        )
    return name


def _dagsters_tables(url: str) -> None:
    """Dagster's own tables; made at first use, they cost every instance 0.6 CPU-s."""
    from dagster_postgres import DagsterPostgresStorage

    # The storages of runs, events and schedules make their tables when they are made.
    storage = DagsterPostgresStorage(url, should_autocreate_tables=True)
    for part in (storage.run_storage, storage.event_log_storage, storage.schedule_storage):
        part.dispose()


@contextlib.contextmanager
def _gcs(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    buckets = {variable: f"{name}-{mark}" for variable, name in gcs.BUCKETS.items()}
    for bucket in buckets.values():
        gcs.create_bucket(variables["STORAGE_EMULATOR_HOST"], bucket)
    yield buckets


@contextlib.contextmanager
def _s3(stack: Stack, _variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    buckets = {variable: f"{name}-{mark}" for variable, name in s3.BUCKETS.items()}
    for bucket in buckets.values():
        s3.create_bucket(stack.place(), bucket)
    yield buckets


@contextlib.contextmanager
def _mongo(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    import pymongo
    from pymongo.errors import PyMongoError

    database = f"marketing_{mark}"
    yield {"CAMPAIGNS_MONGO_DATABASE": database}
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        variables["MONGO_URI"], serverSelectionTimeoutMS=2000
    )
    with client, contextlib.suppress(PyMongoError):
        client.drop_database(database)


@contextlib.contextmanager
def _bolt(stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    port, password = stack.place().ports["bolt.http"], variables["NEO4J_PASSWORD"]

    def command(text: str) -> None:
        request = urllib.request.Request(
            f"http://{HOST}:{port}/api/v1/server",
            data=json.dumps({"command": text}).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": "Basic "
                + base64.b64encode(f"root:{password}".encode()).decode("ascii"),
            },
        )
        urllib.request.urlopen(request, timeout=30).close()

    database = f"neo4j{mark}"
    command(f"create database {database}")
    yield {"NEO4J_DATABASE": database}
    with contextlib.suppress(OSError):
        command(f"drop database {database}")


@contextlib.contextmanager
def _milvus(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    from pymilvus import MilvusClient
    from pymilvus.exceptions import MilvusException

    names = {
        "CAMPAIGNS_MILVUS_MESSAGES": f"user_messages_{mark}",
        "CAMPAIGNS_MILVUS_PROFILES": f"user_profiles_{mark}",
        "MUSIC_MILVUS_LYRICS": f"lyrics_{mark}",
    }
    yield names
    with contextlib.suppress(MilvusException):
        client = MilvusClient(uri=variables["MILVUS_URI"], timeout=5, grpc_options=KEEPALIVE)
        for name in names.values():
            if client.has_collection(name):
                client.drop_collection(name)
        client.close()


@contextlib.contextmanager
def _typesense(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    name = f"songs_{mark}"
    yield {"MUSIC_TYPESENSE_COLLECTION": name}
    request = urllib.request.Request(
        f"{variables['TYPESENSE_URL']}/collections/{name}",
        headers={"X-TYPESENSE-API-KEY": variables["TYPESENSE_API_KEY"]},
        method="DELETE",
    )
    with contextlib.suppress(OSError):  # 404 included: nothing was made
        urllib.request.urlopen(request, timeout=10).close()


@contextlib.contextmanager
def _bigquery(_stack: Stack, _variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    yield {"CAMPAIGNS_DATASET": f"marketing_{mark}", "READING_DATASET": f"reading_{mark}"}


@contextlib.contextmanager
def _pubsub(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    from google.api_core.exceptions import GoogleAPICallError, RetryError

    host, project = variables["PUBSUB_EMULATOR_HOST"], variables["GOOGLE_CLOUD_PROJECT"]
    names = {variable: f"{name}-{mark}" for variable, name in pubsub.NAMES.items()}
    pubsub.create(host, project, names)
    yield names
    with contextlib.suppress(GoogleAPICallError, RetryError):
        pubsub.remove(host, project, names)


@contextlib.contextmanager
def _openai(_stack: Stack, variables: Mapping[str, str], mark: str) -> Iterator[dict[str, str]]:
    # Counters and faults belong to the key.
    key = f"{variables['OPENAI_API_KEY']}.{mark}"
    yield {"OPENAI_API_KEY": key, "TELEGRAM_BOT_TOKEN": key, "ALERT_WEBHOOK_TOKEN": key}


@contextlib.contextmanager
def _music_services(
    stack: Stack, _variables: Mapping[str, str], mark: str
) -> Iterator[dict[str, str]]:
    # Counters and faults belong to the caller's name, the first part of the path.
    yield music_services.variables_for(stack.place(), mark)


_Isolate = Callable[
    [Stack, Mapping[str, str], str], contextlib.AbstractContextManager[dict[str, str]]
]
_ISOLATE: dict[str, _Isolate] = {
    "postgres": _postgres,
    "gcs": _gcs,
    "s3": _s3,
    "bigquery": _bigquery,
    "pubsub": _pubsub,
    "mongo": _mongo,
    "bolt": _bolt,
    "milvus": _milvus,
    "openai": _openai,
    "typesense": _typesense,
    "music_services": _music_services,
}


@dataclass(frozen=True)
class OpenAIAdmin:
    """Faults and counters of the OpenAI-compatible server, for the key of one test."""

    base_url: str
    key: str

    @classmethod
    def of(cls, env: Mapping[str, str]) -> OpenAIAdmin:
        """For the variables of a test."""
        parts = urlsplit(env["OPENAI_BASE_URL"])
        return cls(f"{parts.scheme}://{parts.netloc}", env["OPENAI_API_KEY"])

    def set_faults(self, **plan: Any) -> None:
        """Replace the plan; fields as in ``local.fault_plan.FaultPlan``."""
        self._call("PUT", "faults", plan)

    def end_faults(self) -> None:
        """Answer everything again."""
        self._call("DELETE", "faults")

    def counters(self) -> dict[str, Any]:
        """What `local.openai.account` counts, since the last clearing."""
        counters: dict[str, Any] = self._call("GET", "counters")
        return counters

    def clear_counters(self) -> None:
        """Count from zero."""
        self._call("DELETE", "counters")

    def prompts(self, *, messages: bool = False) -> dict[str, dict[str, Any]]:
        """How often each prompt was asked, paid, answered well and received so, by its hash."""
        name = "prompts?messages=1" if messages else "prompts"
        prompts: dict[str, dict[str, Any]] = self._call("GET", name)
        return prompts

    def messages(self) -> list[dict[str, Any]]:
        """What was sent to the Telegram endpoint with this key as the bot's token."""
        messages: list[dict[str, Any]] = self._call("GET", "messages")
        return messages

    def hooked(self) -> list[dict[str, Any]]:
        """What was posted to the webhook with this key as the token."""
        hooked: list[dict[str, Any]] = self._call("GET", "hooked")
        return hooked

    def _call(self, method: str, name: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.base_url}/admin/{name}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
