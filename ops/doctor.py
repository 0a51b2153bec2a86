"""``make doctor``: is every configured system there, and as whom do we reach it?

Belongs here: asking each resource and printing a line. Does not: how a resource finds out.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

from resources.bigquery import BigQueryResource
from resources.environment import REQUIRED
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

#: Seconds until a system that has said nothing counts as not there.
PATIENCE = 15.0

#: A secret shorter than this is a word that an error message may well contain.
_SECRET_LENGTH = 4

_ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class System:
    """One outside system: the variables that lead to it and what to do when it is not there."""

    variables: tuple[str, ...]
    check: Callable[[Mapping[str, str]], str]
    remedy: str


def _bucket(env: Mapping[str, str], variable: str) -> str:
    from landing.stores.gcs import GcsStore

    with closing(GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        GcsStore(client, env[variable]).list_page("", None, 1)
    return f"gs://{env[variable]} can be listed"


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
    "gcs": System(
        ("GOOGLE_CLOUD_PROJECT",),
        lambda e: GcsResource(project=e["GOOGLE_CLOUD_PROJECT"]).check(),
        "check GOOGLE_APPLICATION_CREDENTIALS (or STORAGE_EMULATOR_HOST)",
    ),
    "campaigns bucket": System(
        ("GOOGLE_CLOUD_PROJECT", "CAMPAIGNS_BUCKET"),
        lambda e: _bucket(e, "CAMPAIGNS_BUCKET"),
        "create the bucket that CAMPAIGNS_BUCKET names, or check who may read it",
    ),
    "quarantine bucket": System(
        ("GOOGLE_CLOUD_PROJECT", "QUARANTINE_BUCKET"),
        lambda e: _bucket(e, "QUARANTINE_BUCKET"),
        "create the bucket that QUARANTINE_BUCKET names, or check who may read it",
    ),
    "bigquery": System(
        ("GOOGLE_CLOUD_PROJECT", "BIGQUERY_API_ENDPOINT"),
        lambda e: BigQueryResource(
            project=e["GOOGLE_CLOUD_PROJECT"], api_endpoint=e["BIGQUERY_API_ENDPOINT"]
        ).check(),
        "check GOOGLE_APPLICATION_CREDENTIALS and BIGQUERY_API_ENDPOINT (empty for Google's own)",
    ),
    "mongodb": System(
        ("MONGO_URI",),
        lambda e: MongoResource(uri=e["MONGO_URI"]).check(),
        "check MONGO_URI",
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
    ),
    "milvus": System(
        ("MILVUS_URI", "MILVUS_TOKEN"),
        lambda e: MilvusResource(uri=e["MILVUS_URI"], token=e["MILVUS_TOKEN"]).check(),
        "check MILVUS_URI and MILVUS_TOKEN",
    ),
    "openai": System(
        ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_EMBEDDING_MODEL"),
        lambda e: OpenAIResource(
            base_url=e["OPENAI_BASE_URL"],
            api_key=e["OPENAI_API_KEY"],
            embedding_model=e["OPENAI_EMBEDDING_MODEL"],
        ).check(),
        "check OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_EMBEDDING_MODEL",
    ),
}


def run(systems: Mapping[str, System] = SYSTEMS, *, patience: float = PATIENCE) -> int:
    """Print one line per system, in order; 0 when all answer within ``patience`` seconds."""
    env = dict(os.environ)
    answers: dict[str, tuple[bool, str]] = {}

    def ask(name: str, system: System) -> None:
        answers[name] = diagnose(name, system, env)

    # Daemons: a client that never returns must not keep the command from ending.
    threads = {
        name: threading.Thread(target=ask, args=(name, system), daemon=True)
        for name, system in systems.items()
    }
    for thread in threads.values():
        thread.start()
    end = time.monotonic() + patience
    healthy = True
    for name, system in systems.items():
        threads[name].join(max(0.0, end - time.monotonic()))
        silent = False, _line("✗", name, f"no answer in {patience:.0f} s → {system.remedy}")
        answered, line = answers.get(name, silent)
        healthy = healthy and answered
        print(line, flush=True)
    return 0 if healthy else 1


def diagnose(name: str, system: System, env: Mapping[str, str]) -> tuple[bool, str]:
    """Whether a system answers, and the line that says so."""
    unset = [v for v in system.variables if v not in env or (not env[v] and v in REQUIRED)]
    if unset:
        missing = ", ".join(unset)
        return False, _line("✗", name, f"{missing} not set: see .env.example, or run `make up`")
    try:
        return True, _line("✓", name, without_secrets(system.check(env), env))
    except Exception as error:  # noqa: BLE001  every client has errors of its own; all are reported
        text = " ".join(without_secrets(str(error), env).split())[:_ERROR_CHARACTERS]
        return False, _line("✗", name, f"{type(error).__name__}: {text} → {system.remedy}")


def _line(sign: str, name: str, text: str) -> str:
    return f"{sign} {name:17} {text}"


def without_secrets(text: str, env: Mapping[str, str]) -> str:
    """``text`` with the values of secret variables and passwords in URLs blanked."""
    secrets = [
        part
        for name, value in env.items()
        if re.search(r"PASSWORD|SECRET|TOKEN|API_KEY|ACCESS_KEY", name)
        # A Milvus token is user:password, and an error may name the password alone.
        for part in (value, value.partition(":")[2])
    ]
    secrets += [
        password
        for value in env.values()
        for password in re.findall(r"://[^:/@\s]*:([^@/\s]+)@", value)
    ]
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= _SECRET_LENGTH:
            text = text.replace(secret, "***")
    return re.sub(r"(://[^:/@\s]*:)[^@/\s]+@", r"\1***@", text)
