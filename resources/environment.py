"""The variables that configure quintet, and their defaults.

Belongs here: names and defaults of variables. Does not: what a variable is used for (the resource
that takes it) and secrets or addresses, which have no default: an unset one is an error that names
it, at first use. ``.env.example`` lists them all and is checked against this module.
"""

from __future__ import annotations

import os

#: The pipelines that the code location can hold; QUINTET_PIPELINES chooses among them.
PIPELINES: tuple[str, ...] = ("campaigns", "music", "reading")

#: Dagster's own; its processes read them when they start. An automation tick that did not wait a
#: little could pass over an event whose transaction commits late, and nothing would ask for what
#: has changed. On a busy machine a code server needed more than Dagster's 60 s to start a run: the
#: daemon reported "Failed to start" while it did. The longer limit is for that, not for ticks, nor
#: for the calls that a server waits for when it is stopped.
DAGSTER_VARIABLES: dict[str, str] = {
    "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "1",
    "DAGSTER_GRPC_TIMEOUT_SECONDS": "240",
    "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "60",
    "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "60",
    "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "60",
}

#: Names of buckets, datasets, collections and models. A variable that is set always wins.
DEFAULTS: dict[str, str] = {
    "QUINTET_PIPELINES": ",".join(PIPELINES),
    **DAGSTER_VARIABLES,
    "NEO4J_DATABASE": "neo4j",
    "MILVUS_TOKEN": "",
    "BIGQUERY_API_ENDPOINT": "",
    "BIGQUERY_GRPC_ENDPOINT": "",
    "PUBSUB_EMULATOR_HOST": "",
    "PUBSUB_COUNTS_URL": "",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_EMBEDDING_MODEL": "text-embedding-3-small",
    "QUARANTINE_BUCKET": "quintet-quarantine",
    "COMPUTE_LOGS_BUCKET": "",
    "CAMPAIGNS_BUCKET": "quintet-campaigns",
    "CAMPAIGNS_PREFIX": "campaigns/",
    "CAMPAIGNS_MONGO_DATABASE": "marketing",
    "CAMPAIGNS_MONGO_COLLECTION": "user_messages",
    "CAMPAIGNS_MILVUS_MESSAGES": "user_messages",
    "CAMPAIGNS_MILVUS_PROFILES": "user_profiles",
    "CAMPAIGNS_DATASET": "marketing",
    "MUSIC_RAW_BUCKET": "music-raw",
    "MUSIC_RAW_PREFIX": "",
    "MUSIC_PROCESSED_BUCKET": "music-processed",
    "MUSIC_QUARANTINE_BUCKET": "music-quarantine",
    "RAW_REMOVE": "committed",
    "MUSIC_TYPESENSE_COLLECTION": "songs",
    "MUSIC_MILVUS_LYRICS": "lyrics",
    "MUSIC_LYRICS_URL": "",
    "MUSIC_MUSICBRAINZ_URL": "",
    "MUSIC_MUSICBRAINZ_USER_AGENT": "",
    "MUSIC_MUSICBRAINZ_PER_SECOND": "1",
    "READING_BUCKET": "quintet-reading",
    "READING_PREFIX": "reading-history/",
    "READING_DATASET": "reading",
    "READING_INTERACTION_TOPIC": "user-interaction",
    "READING_INTERACTION_SUBSCRIPTION": "user-interaction-quintet",
    "READING_INTERACTION_DEAD_TOPIC": "user-interaction-dead",
    "READING_META_TOPIC": "content-meta",
    "READING_META_SUBSCRIPTION": "content-meta-quintet",
    "READING_META_DEAD_TOPIC": "content-meta-dead",
    "READING_STREAM": "session",
    "READING_MERGE_MILLISECONDS": "400",
    "READING_SESSION_SECONDS": "3600",
    "READING_MAX_ATTEMPTS": "5",
    "READING_DATAFLOW_REGION": "us-central1",
    "READING_DATAFLOW_TEMP": "",
    "READING_DATAFLOW_ENDPOINT": "",
}

#: Variables without which a pipeline cannot run.
REQUIRED_BY: dict[str, tuple[str, ...]] = {
    "campaigns": (
        "POSTGRES_URL",
        "GOOGLE_CLOUD_PROJECT",
        "MONGO_URI",
        "NEO4J_URI",
        "NEO4J_USER",
        "NEO4J_PASSWORD",
        "MILVUS_URI",
        "OPENAI_API_KEY",
    ),
    "music": (
        "POSTGRES_URL",
        "MINIO_ENDPOINT",
        "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
        "TYPESENSE_URL",
        "TYPESENSE_API_KEY",
        "MILVUS_URI",
        "OPENAI_API_KEY",
    ),
    "reading": ("POSTGRES_URL", "GOOGLE_CLOUD_PROJECT"),
}
REQUIRED: tuple[str, ...] = tuple(
    dict.fromkeys(name for names in REQUIRED_BY.values() for name in names)
)


class UnknownPipelineError(ValueError):
    """QUINTET_PIPELINES names a pipeline that there is not."""


def chosen_pipelines() -> tuple[str, ...]:
    """The pipelines that QUINTET_PIPELINES names, in the order of PIPELINES; all when it is empty.

    Raises:
        UnknownPipelineError: it names another.
    """
    value = os.environ.get("QUINTET_PIPELINES", "")
    names = {name.strip() for name in value.split(",") if name.strip()}
    if unknown := sorted(names - set(PIPELINES)):
        raise UnknownPipelineError(
            f"QUINTET_PIPELINES names {', '.join(unknown)}. There are: {', '.join(PIPELINES)}."
        )
    return tuple(name for name in PIPELINES if name in names or not names)


def apply_defaults() -> None:
    """Give every unset variable of DEFAULTS its default, in this process and its children."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
