"""Where campaigns reads and writes: names of buckets, collections and datasets.

Belongs here: names. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg


class CampaignsSettings(dg.ConfigurableResource[Any]):
    """``bucket`` holds landing, under ``prefix``, and staging; ``quarantine_bucket`` rejects."""

    bucket: str
    prefix: str
    quarantine_bucket: str
    mongo_database: str
    mongo_collection: str
    milvus_messages: str
    milvus_profiles: str
    dataset: str
