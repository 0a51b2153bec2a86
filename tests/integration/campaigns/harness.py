"""A ledger, buckets and batches for tests of validation and delivery, and an independent recount.

The recount replays, in plain Python, every version of every batch in the order in which the batches
were validated, by the rules of the design, without any code under test.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO

import psycopg

from assets.campaigns import events
from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival.identity import ObjectVersion
from landing.arrival.putting_off import put_off
from landing.batch.delivery import deliver
from landing.batch.validation import validate
from resources.postgres import PostgresResource
from tests.memory_store import MemoryStore

HEADER = "record_id,user_id,message,campaign,timestamp\n"
Row = tuple[str, str, str, str, str]
LOG = logging.getLogger("test")
_START = datetime(2026, 11, 22, 10, tzinfo=UTC)


def row(key: str, message: str = "Hello", *, user: str = "user_1", at: int = 0, campaign="Sale"):
    return (key, user, message, campaign, f"2025-11-03 10:00:{at:02d}.000000")


def as_csv(rows: Sequence[Row]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return (HEADER + buffer.getvalue()).encode()


@dataclass
class Landing:
    """The pipeline's database and its two buckets."""

    url: str
    store: Any = field(default_factory=MemoryStore)
    quarantine: Any = field(default_factory=lambda: MemoryStore("quarantine"))
    _batches: int = 0

    @property
    def pg(self) -> PostgresResource:
        return PostgresResource(url=self.url)

    def put(self, key: str, data: bytes | BinaryIO | Sequence[Row]) -> ObjectVersion:
        """An object, which nobody has seen yet."""
        if isinstance(data, Sequence) and not isinstance(data, bytes):
            data = as_csv(data)
        return self.store.put(key, data)

    def batch(self, objects: Mapping[str, bytes | BinaryIO | Sequence[Row]]) -> str:
        """Put objects and make them one batch, as the scan does."""
        return self.batch_of([self.put(key, data) for key, data in objects.items()])

    def batch_of(self, versions: Sequence[ObjectVersion]) -> str:
        """One batch of versions, seen in this order."""
        self._batches += 1
        batch_id = f"{_START:%Y%m%dT%H%M%SZ}-{self._batches:04d}"
        seen = _START + timedelta(minutes=self._batches)
        with psycopg.connect(self.url) as conn:
            conn.execute(
                "INSERT INTO landing.batch (batch_id, source, pipeline, objects, bytes, created_at)"
                " VALUES (%s, 'campaigns_gcs', 'campaigns', %s, %s, %s)",
                (batch_id, len(versions), sum(v.size for v in versions), seen),
            )
            for v in versions:
                conn.execute(
                    "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
                    " modified_at, seen_at, batch_id) VALUES ('campaigns_gcs', %s, %s, %s, %s, %s,"
                    " %s, %s, %s)",
                    (v.store, v.bucket, v.key, v.version, v.size, v.modified_at, seen, batch_id),
                )
        return batch_id

    def validate(self, batch_id: str):
        return validate(
            self.pg,
            self.store,
            self.quarantine,
            events.rules(),
            batch_id=batch_id,
            run_id="run",
            log=LOG,
            put_off=put_off,
        )

    def deliver(self, batch_id: str, sink: str) -> dict[str, str | None]:
        """The sink's rows: record id to message."""
        with deliver(
            self.pg, self.store, pipeline="campaigns", batch_id=batch_id, sink=sink, run_id="run"
        ) as delivery:
            rows = {}
            for chunk in delivery.chunks():
                rows.update(chunk.select("record_id", "message").rows())
            delivery.done(rows_written=len(rows))
        return rows

    def load(self, batch_id: str, sinks: Mapping[str, dict[str, str | None]] | None = None):
        """Validate and deliver to every sink; ``sinks`` keep what they are given."""
        result = self.validate(batch_id)
        for sink in CAMPAIGNS.sinks:
            rows = self.deliver(batch_id, sink)
            if sinks is not None:
                sinks[sink].update(rows)
        return result

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as conn:
            return conn.execute(statement, values).fetchall()

    def state(self, batch_id: str) -> str:
        return self.query("SELECT state FROM landing.batch WHERE batch_id = %s", batch_id)[0][0]

    def records(self) -> dict[str, list[Any]]:
        found = self.query("SELECT key, user_id, campaign, event_time, seq FROM campaigns.record")
        return {key: values for key, *values in found}

    def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """What must be the same after an interrupted and repeated run, times left out."""
        return {
            "record": self.query("SELECT * FROM campaigns.record ORDER BY key"),
            "replaced": self.query("SELECT * FROM campaigns.replaced ORDER BY batch_id, key"),
            "versions": self.query("SELECT * FROM landing.object_version ORDER BY seq"),
            "parts": self.query("SELECT * FROM landing.staged_part ORDER BY batch_id, part"),
            "sinks": self.query(
                "SELECT batch_id, sink, state, rows_written FROM landing.batch_sink ORDER BY 1, 2"
            ),
            "batches": self.query(
                "SELECT batch_id, state, validated_at IS NULL FROM landing.batch ORDER BY 1"
            ),
            "quarantine": self.query(
                "SELECT batch_id, bucket, key, rows, reasons FROM landing.quarantine ORDER BY 1"
            ),
            "objects": sorted((k, v[1]) for k, v in self.store.objects.items()),
            "rejects": sorted((k, v[1]) for k, v in self.quarantine.objects.items()),
        }


@dataclass
class Recount:
    """Current content per key, and the counts (written, unchanged, superseded, rejected).

    Versions are numbered in the order in which they arrived.
    """

    current: dict[str, tuple[int, Row]] = field(default_factory=dict)

    def take(self, versions: Sequence[tuple[int, Sequence[Row]]]) -> tuple[int, int, int, int]:
        """One batch of (sequence, rows) whose earlier batches are all loaded."""
        rejected = 0
        kept: dict[str, list[tuple[int, Row]]] = {}
        for arrived, rows in versions:
            last: dict[str, tuple[str, int, Row]] = {}
            for number, content in enumerate(rows):
                key, time = content[0], content[4]
                if key in last:
                    rejected += 1
                if key not in last or (time, number) > last[key][:2]:
                    last[key] = (time, number, content)
            for key, (_, _, content) in last.items():
                kept.setdefault(key, []).append((arrived, content))
        written = unchanged = superseded = 0
        for key, candidates in kept.items():
            before = self.current.get(key)
            contenders = [*candidates, *([before] if before else [])]
            winner = max(contenders, key=lambda c: c[0])
            same = [c for c in candidates if c[1] == winner[1]]
            superseded += len(candidates) - len(same)
            is_new = before is None or before[1] != winner[1]
            written += is_new
            unchanged += len(same) - is_new
            self.current[key] = winner
        return written, unchanged, superseded, rejected
