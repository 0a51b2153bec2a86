"""The variables that configure quintet, and their defaults.

Belongs here: names and defaults of variables. Does not: what a variable is used for (the resource
that takes it) and secrets or addresses, which have no default: an unset one is an error that names
it, at first use. ``.env.example`` lists them all and is checked against this module.
"""

from __future__ import annotations

import os

#: Names of buckets, datasets, collections and models. A variable that is set always wins.
DEFAULTS: dict[str, str] = {
    "NEO4J_DATABASE": "neo4j",
    "MILVUS_TOKEN": "",
    "BIGQUERY_API_ENDPOINT": "",
    "BIGQUERY_GRPC_ENDPOINT": "",
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
}

#: Variables without which no pipeline can run.
REQUIRED: tuple[str, ...] = (
    "POSTGRES_URL",
    "GOOGLE_CLOUD_PROJECT",
    "MONGO_URI",
    "NEO4J_URI",
    "NEO4J_USER",
    "NEO4J_PASSWORD",
    "MILVUS_URI",
    "OPENAI_API_KEY",
)


def apply_defaults() -> None:
    """Give every unset variable of DEFAULTS its default, in this process and its children."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
