"""Where music reads and writes: names of buckets and collections.

Belongs here: names and choices. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from typing import Any

import dagster as dg

from landing.batch.failures import PermanentError

_REMOVES = {"committed": True, "never": False}


class MusicSettings(dg.ConfigurableResource[Any]):
    """Buckets on MinIO, collections, and what becomes of raw objects.

    ``raw_remove`` is ``committed`` (an object leaves the raw bucket once silver has committed what
    was read of it) or ``never``.
    """

    raw_bucket: str
    raw_prefix: str
    processed_bucket: str
    quarantine_bucket: str
    raw_remove: str
    typesense_collection: str
    milvus_lyrics: str

    @property
    def removes_raw(self) -> bool:
        """Whether objects leave the raw bucket. Raises PermanentError for another word."""
        try:
            return _REMOVES[self.raw_remove]
        except KeyError:
            raise PermanentError(
                f"RAW_REMOVE is {self.raw_remove!r}: it must be `committed` or `never`"
            ) from None
