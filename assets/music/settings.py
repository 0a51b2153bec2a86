"""Where music reads and writes: names of buckets and collections.

Belongs here: names and choices. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from assets.frame.settings import Settings
from landing.batch.failures import PermanentError

_REMOVES = {"committed": True, "never": False}


class MusicSettings(Settings):
    """Buckets on MinIO, collections, and what becomes of raw objects.

    ``raw_remove`` is ``committed`` (an object leaves the raw bucket once silver has committed what
    was read of it) or ``never``.
    """

    pipeline = "music"
    named: ClassVar[Mapping[str, str]] = {"raw_remove": "RAW_REMOVE"}

    raw_bucket: str = "music-raw"
    raw_prefix: str = ""
    processed_bucket: str = "music-processed"
    quarantine_bucket: str = "music-quarantine"
    raw_remove: str = "committed"
    typesense_collection: str = "songs"
    milvus_lyrics: str = "lyrics"

    @property
    def bucket(self) -> str:
        """Where files land."""
        return self.raw_bucket

    @property
    def prefix(self) -> str:
        """Under which they land there."""
        return self.raw_prefix

    @property
    def staging_bucket(self) -> str:
        """Bronze is kept beside the copies of its files."""
        return self.processed_bucket

    @property
    def removes_raw(self) -> bool:
        """Whether objects leave the raw bucket. Raises PermanentError for another word."""
        try:
            return _REMOVES[self.raw_remove]
        except KeyError:
            raise PermanentError(
                f"RAW_REMOVE is {self.raw_remove!r}: it must be `committed` or `never`"
            ) from None
