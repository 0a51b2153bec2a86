"""Where campaigns reads and writes: names of buckets, collections and datasets.

Belongs here: names. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from assets.frame.settings import Settings


class CampaignsSettings(Settings):
    """``bucket`` holds landing, under ``prefix``, and staging; ``quarantine_bucket`` rejects."""

    pipeline = "campaigns"
    named: ClassVar[Mapping[str, str]] = {"quarantine_bucket": "QUARANTINE_BUCKET"}

    bucket: str = "quintet-campaigns"
    prefix: str = "campaigns/"
    quarantine_bucket: str = "quintet-quarantine"
    mongo_database: str = "marketing"
    mongo_collection: str = "user_messages"
    milvus_messages: str = "user_messages"
    milvus_profiles: str = "user_profiles"
    dataset: str = "marketing"

    @property
    def staging_bucket(self) -> str:
        """Beside what landed."""
        return self.bucket
