"""Where reading reads and writes, and how its streaming session behaves.

Belongs here: names and limits. Does not: addresses and secrets (``resources/``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from assets.frame.settings import Settings
from assets.reading.pacing import BY_LOAD


class ReadingSettings(Settings):
    """Topics, subscriptions, dataset and bucket by name, without the project.

    ``stream`` chooses what ingests messages: ``session`` (the job ``reading_stream``), or managed
    ingestion, which is ``dataflow`` or ``bigquery_subscription`` (the job ``reading_dataflow``).
    ``merge_milliseconds`` is the least time between two MERGEs of a session into one table unless
    a micro-batch is full (-1: as the load has it), ``raw_days`` how long raw messages are kept (0:
    for ever),
    ``session_seconds`` how long a session serves before it hands over, ``max_attempts`` after how
    many deliveries a message that cannot be written by itself is given up. ``zone`` is that of
    times which name none, as the IANA database calls it.
    """

    pipeline = "reading"
    named: ClassVar[Mapping[str, str]] = {"quarantine_bucket": "QUARANTINE_BUCKET"}

    dataset: str = "reading"
    bucket: str = "quintet-reading"
    prefix: str = "reading-history/"
    quarantine_bucket: str = "quintet-quarantine"
    interaction_topic: str = "user-interaction"
    interaction_subscription: str = "user-interaction-quintet"
    interaction_dead_topic: str = "user-interaction-dead"
    meta_topic: str = "content-meta"
    meta_subscription: str = "content-meta-quintet"
    meta_dead_topic: str = "content-meta-dead"
    stream: str = "session"
    merge_milliseconds: int = BY_LOAD
    raw_days: int = 0
    session_seconds: int = 3_600
    max_attempts: int = 5
    zone: str = "UTC"

    @property
    def time_zone(self) -> tzinfo:
        """The zone of times that name none. Raises ValueError for one that there is not."""
        if self.zone == "UTC":
            return UTC
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"READING_ZONE is {self.zone!r}, no zone like Asia/Kolkata") from error

    @property
    def staging_bucket(self) -> str:
        """Beside what landed."""
        return self.bucket
