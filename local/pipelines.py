"""Which pipelines a command is about, and the servers of the stack that each of them needs.

Belongs here: that mapping, the only one. Does not: what a pipeline's variables are
(`resources.environment`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from local.services import SERVICES
from resources.environment import PIPELINES

SERVERS: Mapping[str, tuple[str, ...]] = {
    "campaigns": ("postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai"),
    "music": ("postgres", "s3", "milvus", "openai", "typesense", "music_services"),
    "reading": ("postgres", "gcs", "bigquery", "pubsub"),
}


def selected(text: str | None) -> list[str]:
    """The pipelines of a list with commas, all when it is empty. Exits when it names another."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()] or list(PIPELINES)
    unknown = [name for name in names if name not in PIPELINES]
    if unknown:
        sys.exit(f"Unknown pipeline: {', '.join(unknown)}. There are: {', '.join(PIPELINES)}.")
    return list(dict.fromkeys(names))


def needed_by(pipelines: Iterable[str]) -> list[str]:
    """The servers that these pipelines need, in the order of the stack's list."""
    needed = {server for pipeline in pipelines for server in SERVERS[pipeline]}
    return [name for name in SERVICES if name in needed]
