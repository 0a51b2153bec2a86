"""The raw bucket, its batches and what became of its files, on real servers.

Belongs here: what the tests of bronze and of the raw bucket share. Does not: any expected figure.
"""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl
import psycopg

from assets.music.bronze import validation as bronze
from assets.music.bronze.raw_removals import Removals, remove_archived
from assets.music.pipeline import MUSIC
from landing.arrival import arrivals
from landing.arrival.identity import ObjectVersion
from landing.batch import staging
from landing.stores.listing import pages
from landing.stores.minio import MinioStore
from resources.minio import MinioResource
from resources.postgres import PostgresResource

LOG = logging.getLogger("test")


def minio_of(env: Mapping[str, str]) -> MinioResource:
    return MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    )


@dataclass
class BronzeWorld:
    """Music's ledger and its three buckets."""

    env: Mapping[str, str]
    raw: MinioStore = field(init=False)
    processed: MinioStore = field(init=False)
    quarantine: MinioStore = field(init=False)

    def __post_init__(self) -> None:
        client = minio_of(self.env).client()
        self.raw = MinioStore(client, self.env["MUSIC_RAW_BUCKET"])
        self.processed = MinioStore(client, self.env["MUSIC_PROCESSED_BUCKET"])
        self.quarantine = MinioStore(client, self.env["MUSIC_QUARANTINE_BUCKET"])

    @property
    def pg(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])

    def batch(self, objects: Mapping[str, bytes]) -> str:
        """Put objects and make them one batch, in this order."""
        return self.batch_of([self.raw.put(key, data) for key, data in objects.items()])

    def batch_of(self, versions: list[ObjectVersion]) -> str:
        """One batch of versions that lie in the raw bucket."""
        source = MUSIC.source(self.raw.bucket, "")
        now = datetime.now(UTC)
        with self.pg.connect() as conn:
            arrivals.record_versions(conn, source.name, versions, now)
            waiting = arrivals.unassigned(conn, source, 10_000)
            assert len(waiting) == len(versions)
            return arrivals.create_batch(conn, source, waiting, now)

    def validate(self, batch_id: str, **options: Any):
        return bronze.validate_batch(
            self.pg, self.raw, self.processed, self.quarantine,
            batch_id=batch_id, run_id="run", log=LOG, **options,
        )  # fmt: skip

    def silver_done(self, batch_id: str) -> None:
        """As the sink reports it."""
        self.execute(
            "UPDATE landing.batch_sink SET state = 'done' WHERE batch_id = %s AND sink = %s",
            batch_id, "silver_songs",
        )  # fmt: skip

    def loaded(self, batch_id: str) -> None:
        """As after the last sink."""
        self.execute("UPDATE landing.batch_sink SET state = 'done' WHERE batch_id = %s", batch_id)
        self.execute(
            "UPDATE landing.batch SET state = 'loaded', finished_at = now() WHERE batch_id = %s",
            batch_id,
        )

    def remove(self, batch_id: str | None = None) -> Removals:
        return remove_archived(self.pg, self.raw, self.processed, batch_id=batch_id, log=LOG)

    def load(self, batch_id: str):
        """From raw to silver's commit and out of raw, silver itself left out."""
        result = self.validate(batch_id)
        self.loaded(batch_id)
        self.remove(batch_id)
        return result

    def staged(self, batch_id: str) -> pl.DataFrame:
        """The batch's staged rows."""
        with self.pg.connect() as conn:
            parts = staging.load_parts(conn, batch_id)
        frames = [pl.read_parquet(io.BytesIO(self.processed.get(part.key))) for part in parts]
        return pl.concat(frames)

    def rejects(self, batch_id: str) -> pl.DataFrame:
        """The batch's quarantine."""
        return pl.read_parquet(io.BytesIO(self.quarantine.get(f"music/{batch_id}.parquet")))

    def outcomes(self, batch_id: str) -> dict[str, tuple[Any, ...]]:
        """By key: outcome, reason's code, rows read and rejected."""
        rows = self.query(
            "SELECT key, outcome, split_part(reason, ':', 1), rows_read, rows_rejected"
            " FROM landing.object_version WHERE batch_id = %s", batch_id,
        )  # fmt: skip
        return {key: tuple(rest) for key, *rest in rows}

    def removals(self) -> dict[str, str | None]:
        """By key: what became of the original."""
        return dict(
            self.query(
                "SELECT key, removal FROM music.archived_object JOIN landing.object_version"
                " USING (seq) ORDER BY seq"
            )
        )

    def records(self) -> dict[str, tuple[str, int]]:
        """The current records: hash and sequence by key."""
        found = self.query("SELECT key, row_hash, seq FROM music.record ORDER BY key")
        return {key: (row_hash, seq) for key, row_hash, seq in found}

    def contents(self, store: MinioStore, prefix: str = "") -> dict[str, bytes]:
        """Everything in a bucket."""
        found = {}
        for page in pages(store, prefix):
            found.update({version.key: store.get(version.key) for version in page.objects})
        return found

    def copies(self) -> dict[str, bytes]:
        """The archived files by the keys that they had in raw."""
        copies = self.contents(self.processed, "objects/")
        return {key.removeprefix("objects/").rpartition("/")[0]: data
                for key, data in copies.items()}  # fmt: skip

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            return conn.execute(statement, values).fetchall()

    def execute(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            conn.execute(statement, values)


def next_second() -> None:
    """Wait until another write of the same content is another version."""
    time.sleep(1.05 - time.time() % 1)
