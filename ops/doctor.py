"""``make doctor``: is every configured system there, and as whom do we reach it?

Belongs here: asking each resource and printing a line. Does not: how a resource finds out.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from assets.frame.buckets import StoreResource, opened
from assets.pipelines import (
    PIPELINES,
    chosen_pipelines,
    declaration,
    landed_files,
    required,
    without_secrets,
)
from landing.arrival.identity import StoreKind
from ops.trouble import Trouble, trouble
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.gcs import GcsResource
from resources.lyrics_service import LyricsServiceResource
from resources.milvus import MilvusResource
from resources.minio import MinioResource
from resources.mongo import MongoResource
from resources.musicbrainz import MusicBrainzResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.s3 import S3Resource
from resources.telegram import TelegramResource
from resources.typesense import TypesenseResource
from resources.webhook import WebhookResource

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles

#: Seconds until a system that has said nothing counts as not there.
PATIENCE = 15.0

_ERROR_CHARACTERS = 200
_MINIO = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")
_S3 = ("AWS_ENDPOINT_URL_S3", "AWS_REGION")
#: The variables that lead to each kind of store.
_LEADS: Mapping[StoreKind, tuple[str, ...]] = {
    "gcs": ("GOOGLE_CLOUD_PROJECT",),
    "minio": _MINIO,
    "s3": _S3,
}


@dataclass(frozen=True, slots=True)
class System:
    """One outside system: the variables that lead to it and what to do when it is not there.

    ``pipelines`` need it; empty for all.
    """

    variables: tuple[str, ...]
    check: Callable[[Mapping[str, str]], str]
    remedy: str
    pipelines: tuple[str, ...] = ()


def _minio(env: Mapping[str, str]) -> MinioResource:
    return MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    )


def _s3(env: Mapping[str, str]) -> S3Resource:
    return S3Resource(endpoint=env["AWS_ENDPOINT_URL_S3"], region=env["AWS_REGION"])


def _bucket(env: Mapping[str, str], variable: str, files: LandedFiles) -> str:
    with opened(_store(env, files.store), env[variable]) as bucket:
        bucket.list_page("", None, 1)
    return f"{files.uri(env[variable])} can be listed"


def _store(env: Mapping[str, str], kind: StoreKind) -> StoreResource:
    if kind == "gcs":
        return GcsResource(project=env["GOOGLE_CLOUD_PROJECT"])
    return _s3(env) if kind == "s3" else _minio(env)


def _buckets() -> dict[str, System]:
    """Every bucket that a declaration names, once, with the pipelines that use it."""
    found: dict[str, System] = {}
    for files in landed_files():
        lead = _LEADS[files.store]
        for field in files.settings.model_fields:
            variable = files.settings.variable(field)
            if not variable.endswith("_BUCKET"):
                continue
            name = variable.lower().replace("_", " ")
            before = found[name].pipelines if name in found else ()
            found[name] = System(
                (*lead, variable),
                partial(_bucket, variable=variable, files=files),
                f"create the bucket that {variable} names, or check who may read it",
                pipelines=(*before, files.pipeline),
            )
    return found


def _users(server: str) -> tuple[str, ...]:
    """The pipelines that declare to talk to it."""
    return tuple(name for name in PIPELINES if server in declaration(name).servers)


def _subscription(env: Mapping[str, str], variable: str) -> str:
    pubsub = PubSubResource(
        project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env["PUBSUB_EMULATOR_HOST"]
    )
    path = pubsub.subscription_path(env[variable])
    with pubsub.subscriber() as client:
        found = client.get_subscription(subscription=path, timeout=PATIENCE, retry=None)
    return f"{path} of {found.topic}"


def _subscriptions() -> dict[str, System]:
    names = {
        "interactions": "READING_INTERACTION_SUBSCRIPTION",
        "categories": "READING_META_SUBSCRIPTION",
    }
    return {
        f"{name} subscription": System(
            ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST", variable),
            partial(_subscription, variable=variable),
            f"create the subscription that {variable} names: docs/reading.md has the commands",
            pipelines=("reading",),
        )
        for name, variable in names.items()
    }


SYSTEMS: dict[str, System] = {
    "postgres": System(
        ("POSTGRES_URL",),
        lambda e: PostgresResource(url=e["POSTGRES_URL"]).check(),
        "check POSTGRES_URL and that the server accepts this address",
    ),
    "dagster storage": System(
        ("DAGSTER_POSTGRES_URL",),
        lambda e: PostgresResource(url=e["DAGSTER_POSTGRES_URL"]).check(),
        "check DAGSTER_POSTGRES_URL; it must be another database than POSTGRES_URL",
    ),
    "telegram": System(
        ("TELEGRAM_URL", "TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"),
        lambda e: TelegramResource(
            url=e["TELEGRAM_URL"], bot_token=e["TELEGRAM_BOT_TOKEN"], chat_id=e["TELEGRAM_CHAT_ID"]
        ).check(),
        "check TELEGRAM_URL, TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID (empty for no alerts)",
    ),
    "webhook": System(
        ("ALERT_WEBHOOK_URL",),
        lambda e: WebhookResource(url=e["ALERT_WEBHOOK_URL"]).check(),
        "check ALERT_WEBHOOK_URL (empty for none)",
    ),
    "gcs": System(
        ("GOOGLE_CLOUD_PROJECT",),
        lambda e: GcsResource(project=e["GOOGLE_CLOUD_PROJECT"]).check(),
        "check GOOGLE_APPLICATION_CREDENTIALS (or STORAGE_EMULATOR_HOST)",
        pipelines=_users("gcs"),
    ),
    "bigquery": System(
        ("GOOGLE_CLOUD_PROJECT", "BIGQUERY_API_ENDPOINT"),
        lambda e: BigQueryResource(
            project=e["GOOGLE_CLOUD_PROJECT"], api_endpoint=e["BIGQUERY_API_ENDPOINT"]
        ).check(),
        "check GOOGLE_APPLICATION_CREDENTIALS and BIGQUERY_API_ENDPOINT (empty for Google's own)",
        pipelines=_users("bigquery"),
    ),
    "bigquery write": System(
        ("GOOGLE_CLOUD_PROJECT", "BIGQUERY_GRPC_ENDPOINT"),
        lambda e: BigQueryWriteResource(
            project=e["GOOGLE_CLOUD_PROJECT"], grpc_endpoint=e["BIGQUERY_GRPC_ENDPOINT"]
        ).check(),
        "check BIGQUERY_GRPC_ENDPOINT (empty for Google's own)",
        pipelines=("reading",),
    ),
    "pubsub": System(
        ("GOOGLE_CLOUD_PROJECT", "PUBSUB_EMULATOR_HOST"),
        lambda e: PubSubResource(
            project=e["GOOGLE_CLOUD_PROJECT"], emulator_host=e["PUBSUB_EMULATOR_HOST"]
        ).check(),
        "check GOOGLE_APPLICATION_CREDENTIALS and PUBSUB_EMULATOR_HOST (empty for Google's own)",
        pipelines=_users("pubsub"),
    ),
    **_subscriptions(),
    "mongodb": System(
        ("MONGO_URI",),
        lambda e: MongoResource(uri=e["MONGO_URI"]).check(),
        "check MONGO_URI",
        pipelines=_users("mongo"),
    ),
    "neo4j": System(
        ("NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD", "NEO4J_DATABASE"),
        lambda e: Neo4jResource(
            uri=e["NEO4J_URI"],
            user=e["NEO4J_USER"],
            password=e["NEO4J_PASSWORD"],
            database=e["NEO4J_DATABASE"],
        ).check(),
        "check NEO4J_URI, NEO4J_USER, NEO4J_PASSWORD and NEO4J_DATABASE",
        pipelines=_users("bolt"),
    ),
    "milvus": System(
        ("MILVUS_URI", "MILVUS_TOKEN"),
        lambda e: MilvusResource(uri=e["MILVUS_URI"], token=e["MILVUS_TOKEN"]).check(),
        "check MILVUS_URI and MILVUS_TOKEN",
        pipelines=_users("milvus"),
    ),
    "openai": System(
        ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_EMBEDDING_MODEL"),
        lambda e: OpenAIResource(
            base_url=e["OPENAI_BASE_URL"],
            api_key=e["OPENAI_API_KEY"],
            embedding_model=e["OPENAI_EMBEDDING_MODEL"],
        ).check(),
        "check OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_EMBEDDING_MODEL",
        pipelines=_users("openai"),
    ),
    "minio": System(
        _MINIO,
        lambda e: _minio(e).check(),
        "check MINIO_ENDPOINT, MINIO_ACCESS_KEY and MINIO_SECRET_KEY",
        pipelines=_users("s3"),
    ),
    "s3": System(
        _S3,
        lambda e: _s3(e).check(),
        "check AWS_ENDPOINT_URL_S3 (empty for Amazon's own), AWS_REGION and the credentials",
        pipelines=tuple(dict.fromkeys(f.pipeline for f in landed_files() if f.store == "s3")),
    ),
    "source of domains": System(
        ("DOMAINS_SOURCE_URL",),
        lambda e: PostgresResource(url=e["DOMAINS_SOURCE_URL"]).check(),
        "check DOMAINS_SOURCE_URL",
        pipelines=("domains",),
    ),
    **_buckets(),
    "typesense": System(
        ("TYPESENSE_URL", "TYPESENSE_API_KEY"),
        lambda e: TypesenseResource(url=e["TYPESENSE_URL"], api_key=e["TYPESENSE_API_KEY"]).check(),
        "check TYPESENSE_URL and TYPESENSE_API_KEY",
        pipelines=_users("typesense"),
    ),
    "lyrics service": System(
        ("MUSIC_LYRICS_URL",),
        lambda e: LyricsServiceResource(url=e["MUSIC_LYRICS_URL"]).check(),
        "check MUSIC_LYRICS_URL (empty for none)",
        pipelines=("music",),
    ),
    "musicbrainz": System(
        ("MUSIC_MUSICBRAINZ_URL", "MUSIC_MUSICBRAINZ_USER_AGENT"),
        lambda e: MusicBrainzResource(
            url=e["MUSIC_MUSICBRAINZ_URL"], user_agent=e["MUSIC_MUSICBRAINZ_USER_AGENT"]
        ).check(),
        "check MUSIC_MUSICBRAINZ_URL (empty for none) and MUSIC_MUSICBRAINZ_USER_AGENT",
        pipelines=("music",),
    ),
}


def run(systems: Mapping[str, System] = SYSTEMS, *, patience: float = PATIENCE) -> int:
    """Print one line per system of the chosen pipelines, in order.

    0 when all answer within ``patience`` seconds. Raises
    resources.environment.UnknownPipelineError.
    """
    env = dict(os.environ)
    chosen = set(chosen_pipelines())
    systems = {
        name: system
        for name, system in systems.items()
        if not system.pipelines or chosen & set(system.pipelines)
    }
    answers: dict[str, tuple[bool, str]] = {}

    def ask(name: str, system: System) -> None:
        answers[name] = diagnose(system, env)

    _import_shared(systems)
    # Daemons: a client that never returns must not keep the command from ending.
    threads = {
        name: threading.Thread(target=ask, args=(name, system), daemon=True)
        for name, system in systems.items()
    }
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + patience
    healthy = True
    width = max(map(len, systems), default=0)
    for name, system in systems.items():
        threads[name].join(max(0.0, end - time.monotonic()))
        silent = False, f"busy: no answer in {patience:.0f} s → {system.remedy}"
        answered, text = answers.get(name, silent)
        healthy = healthy and answered
        print(f"{'✓' if answered else '✗'} {name:{width}}  {text}", flush=True)
    return 0 if healthy else 1


def _import_shared(systems: Collection[str]) -> None:
    """Import what two checks would import at once.

    Of packages whose parts import each other, a thread may otherwise see the half that another has
    imported so far.
    """
    if "bigquery write" in systems:
        importlib.import_module("google.cloud.bigquery_storage_v1")
        importlib.import_module("google.cloud.bigquery")


def diagnose(system: System, env: Mapping[str, str]) -> tuple[bool, str]:
    """Whether a system answers, and as whom; or what is wrong and what to do, on one line."""
    needed = required()
    unset = [v for v in system.variables if v not in env or (not env[v] and v in needed)]
    if unset:
        return False, f"{', '.join(unset)} not set: see .env.example, or run `make up`"
    try:
        return True, without_secrets(system.check(env), env)
    except Exception as error:  # noqa: BLE001  every client has errors of its own; all are reported
        text = " ".join(without_secrets(str(error), env).split())[:_ERROR_CHARACTERS]
        kind = trouble(error)
        said = f"{kind}: {type(error).__name__}" if kind else type(error).__name__
        return False, f"{said}: {text} → {_what_to_do(kind, system)}"


def _what_to_do(kind: Trouble | None, system: System) -> str:
    return f"ask again in a minute; else {system.remedy}" if kind == "busy" else system.remedy
