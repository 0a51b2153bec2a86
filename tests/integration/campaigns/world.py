"""A batch as validation would have left it, made without validation's code, and its oracle.

``World`` keeps every record's last version in plain dictionaries. ``deliver`` writes what a batch
decided into Postgres (record, replaced) and returns the chunks that a sink would be given.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psycopg
import pytest

INGESTED_AT = datetime(2025, 12, 1, 8, 30, tzinfo=UTC)
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "record_id": pl.String,
    "user_id": pl.String,
    "message": pl.String,
    "campaign": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "row_hash": pl.String,
    "message_hash": pl.String,
    "seq": pl.Int64,
    "line": pl.Int64,
    "source": pl.String,
    "ingested_at": pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True)
class Event:
    record_id: str
    user_id: str
    message: str | None
    campaign: str | None
    timestamp: datetime

    @property
    def row_hash(self) -> str:
        return hashlib.md5(repr(self).encode()).hexdigest()

    @property
    def message_hash(self) -> str | None:
        return hashlib.sha256(self.message.encode()).hexdigest() if self.message else None


@dataclass
class World:
    url: str
    events: dict[str, Event] = field(default_factory=dict)
    seq: int = 0

    def deliver(
        self, batch_id: str, events: Sequence[Event], chunk_rows: int = 400
    ) -> list[pl.DataFrame]:
        """Make the events current and stage them."""
        self.seq += 1
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            for event in events:
                old = self.events.get(event.record_id)
                if old is not None and old != event:
                    cursor.execute(
                        "INSERT INTO campaigns.replaced VALUES (%s, %s, %s, %s, %s, %s)",
                        [batch_id, old.record_id, old.timestamp, old.user_id, old.campaign,
                         old.message_hash],
                    )  # fmt: skip
                cursor.execute(
                    """
                    INSERT INTO campaigns.record VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
                    ON CONFLICT (key) DO UPDATE SET event_time = excluded.event_time,
                        seq = excluded.seq, row_hash = excluded.row_hash,
                        batch_id = excluded.batch_id, user_id = excluded.user_id,
                        campaign = excluded.campaign, message_hash = excluded.message_hash
                    """,
                    [event.record_id, event.timestamp, self.seq, event.row_hash, batch_id,
                     event.user_id, event.campaign, event.message_hash],
                )  # fmt: skip
                self.events[event.record_id] = event
        return self.chunks(events, chunk_rows)

    def chunks(self, events: Sequence[Event], chunk_rows: int = 400) -> list[pl.DataFrame]:
        rows = [
            {
                **vars(event),
                "row_hash": event.row_hash,
                "message_hash": event.message_hash,
                "seq": self.seq,
                "line": line,
                "source": "gs://bucket/campaigns/events.csv#1",
                "ingested_at": INGESTED_AT,
            }
            for line, event in enumerate(events, start=2)
        ]
        frame = pl.DataFrame(rows, schema=SCHEMA)
        return list(frame.iter_slices(chunk_rows)) if rows else []

    def pairs(self) -> dict[tuple[str, str], tuple[int, datetime, datetime]]:
        """Events, first and last time of every (user, campaign)."""
        found: dict[tuple[str, str], tuple[int, datetime, datetime]] = {}
        for event in self.events.values():
            if event.campaign is not None:
                at = event.timestamp
                n, first, last = found.get((event.user_id, event.campaign), (0, at, at))
                found[event.user_id, event.campaign] = (n + 1, min(first, at), max(last, at))
        return found

    def messages_of(self) -> dict[str, Counter[str]]:
        """Non-empty messages by user, users without any left out."""
        found: dict[str, Counter[str]] = {}
        for event in self.events.values():
            if event.message:
                found.setdefault(event.user_id, Counter())[event.message] += 1
        return found


def at(day: int, hour: int = 12, microsecond: int = 0) -> datetime:
    return datetime(2025, 11, day, hour, 0, 0, microsecond, tzinfo=UTC)


def small() -> list[Event]:
    """Fourteen events with ids that would break out of a filter."""
    return [
        Event("r1", "user_1", "show me offers", "Festive_Sale", at(1)),
        Event("r2", "user_1", "show me offers", "Festive_Sale", at(2)),
        Event("r3", "user_1", None, None, at(2)),
        Event("r4", "user_2", "show me offers", "Festive_Sale", at(3, microsecond=123456)),
        Event("r5", "user_2", "cancel my order", "Clearance", at(4)),
        Event("r6", "user_3", None, None, at(4)),
        Event("r7", "user_4", "where is my parcel", None, at(5)),
        Event("r8", "user_10", "show me offers", "Winter", at(5)),
        Event("r9", "user_10", "where is my parcel", "Festive_Sale", at(6)),
        Event("r'10\"", "o'neil\"\\", "show me offers", 'Mother\'s "Day"', at(6)),
        Event("r11", "ü ser", "cancel my order", "Clearance", at(7)),
        Event("r12", "{user}", "where is my parcel", "Winter", at(7)),
        Event("r13", "user_11", "an offer for me?", "Clearance", at(8)),
        Event("r14", "user_5", "only once", "Once_Only", at(9)),
    ]


def changes() -> list[Event]:
    """r1: everything changes; r5: message goes; r14: user and campaign are left without events."""
    return [
        Event("r1", "user_7", "where is my parcel", "Winter", at(20)),
        Event("r5", "user_2", None, None, at(4)),
        Event("r14", "user_4", "cancel my order", None, at(9)),
        Event("r15", "user_4", "cancel my order", "Clearance", at(21)),
    ]


def real() -> list[Event]:
    """The real file, when QUINTET_DATA_DIR is set; else the test is skipped."""
    directory = os.environ.get("QUINTET_DATA_DIR")
    if not directory:
        pytest.skip("QUINTET_DATA_DIR is not set")
    path = Path(directory) / "campaigns" / "campaign_events.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Event(
                row["record_id"],
                row["user_id"],
                row["message"] or None,
                row["campaign"] or None,
                datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC),
            )
            for row in csv.DictReader(file)
        ]
