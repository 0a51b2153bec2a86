"""How a tick of landing scales with the bucket, next to Dagster's shipped sensor helpers.

A synthetic listing of constant cost per page (1,000 keys, 50 ms), behind the interface of the GCS
and of the S3 client; 10 of the keys are not in the ledger, which is a real Postgres. Every case
runs in a process of its own, so that its peak of memory is its own. Run:

    POSTGRES_URL=postgresql://... python -m benchmarks.landing_scan [--keys 10000,200000,1000000]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

PAGE = 1_000
PAGE_SECONDS = 0.05
NEW = 10
BUCKET = "inbox"
PREFIX = "in/"
GENERATION = 1_770_000_000_000_000
SIZE = 100
MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)
ETAG = "d41d8cd98f00b204e9800998ecf8427e"  # pragma: allowlist secret
DATABASE = "landing_scan_benchmark"


def key(index: int) -> str:
    return f"{PREFIX}{index:08d}.csv"


def index_after(offset: str | None, *, inclusive: bool) -> int:
    if not offset:
        return 0
    return int(re.sub(r"\D", "", offset)) + (not inclusive)


def modified(index: int) -> datetime:
    return MODIFIED + timedelta(seconds=index)


@dataclass
class GcsListing:
    """What google.cloud.storage.Client shows of the listing."""

    keys: int

    def bucket(self, name: str) -> Any:
        """A bucket handle."""
        return SimpleNamespace(name=name)

    def list_blobs(
        self,
        bucket_or_name: str,  # noqa: ARG002
        *,
        start_offset: str | None = None,
        page_size: int = PAGE,
        **_options: Any,
    ) -> GcsIterator:
        """Pages of at most 1,000 blobs from ``start_offset`` on."""
        start = index_after(start_offset, inclusive=True)
        return GcsIterator(self.keys, start, min(page_size, PAGE))


@dataclass
class GcsIterator:
    """What list_blobs returns."""

    keys: int
    start: int
    size: int
    next_page_token: str | None = field(default=None)

    @property
    def pages(self) -> Iterator[list[Any]]:
        """Each costs PAGE_SECONDS."""
        at = self.start
        while True:
            time.sleep(PAGE_SECONDS)
            end = min(at + self.size, self.keys)
            self.next_page_token = str(end) if end < self.keys else None
            yield [
                SimpleNamespace(
                    name=key(index),
                    generation=GENERATION,
                    size=SIZE,
                    time_created=modified(index),
                    updated=modified(index),
                )
                for index in range(at, end)
            ]
            if self.next_page_token is None:
                return
            at = end

    def __iter__(self) -> Iterator[Any]:
        for page in self.pages:
            yield from page


@dataclass
class S3Listing:
    """What a boto3 client shows of the listing."""

    keys: int

    def get_bucket_versioning(self, **_options: Any) -> dict[str, Any]:
        """The bucket keeps no versions."""
        return {}

    def list_objects_v2(
        self,
        *,
        StartAfter: str | None = None,  # noqa: N803
        MaxKeys: int = PAGE,  # noqa: N803
        **_options: Any,
    ) -> dict[str, Any]:
        """One page, as boto3 spells it."""
        time.sleep(PAGE_SECONDS)
        at = index_after(StartAfter, inclusive=False)
        end = min(at + MaxKeys, self.keys)
        contents = [
            {"Key": key(i), "ETag": f'"{ETAG}"', "Size": SIZE, "LastModified": modified(i)}
            for i in range(at, end)
        ]
        return {"Contents": contents, "IsTruncated": end < self.keys}

    def get_paginator(self, _operation: str) -> S3Listing:
        """Itself."""
        return self

    def paginate(self, **_options: Any) -> Iterator[dict[str, Any]]:
        """All pages."""
        after = None
        while True:
            page = self.list_objects_v2(StartAfter=after)
            yield page
            if not page["IsTruncated"]:
                return
            after = page["Contents"][-1]["Key"]


class PeakMemory:
    """The most resident memory above what there was at the start, in MB, sampled."""

    def __enter__(self) -> Self:
        import psutil

        process = psutil.Process()
        self._before = process.memory_info().rss
        self._peak = self._before
        self._done = threading.Event()

        def sample() -> None:
            while not self._done.wait(0.02):
                self._peak = max(self._peak, process.memory_info().rss)

        self._thread = threading.Thread(target=sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        """So far."""
        return (self._peak - self._before) / 1e6


def measure_landing(interface: str, keys: int, url: str) -> dict[str, Any]:
    import psycopg

    from landing.arrival.scan import DEADLINE_SECONDS
    from landing.arrival.source import Source
    from landing.arrival.tick import evaluate_tick
    from landing.stores.base import ObjectStore
    from landing.stores.gcs import GcsStore
    from landing.stores.s3 import S3Store
    from migrations.upgrade import upgrade

    upgrade(url)
    store: ObjectStore = (
        GcsStore(GcsListing(keys), BUCKET)
        if interface == "gcs"
        else S3Store(S3Listing(keys), BUCKET)
    )
    source = Source(
        name="benchmark",
        pipeline="benchmark",
        store=store.kind,
        bucket=BUCKET,
        prefix=PREFIX,
        pattern=re.compile(r"in/.*\.csv"),
        sinks=("only",),
    )
    new = [keys * part // NEW + keys // (2 * NEW) for part in range(NEW)]
    ticks: list[float] = []
    runs = SimpleNamespace(
        how_ended=lambda _key: None,
        has_succeeded=lambda _run: False,
        give_up=lambda _run: "began",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        fill_ledger(connection, interface, keys, new)
        cursor, finished = None, False
        with PeakMemory() as memory:
            while not finished:
                start = time.monotonic()
                tick = evaluate_tick(
                    source,
                    store,
                    connection,
                    cursor,
                    now=lambda: datetime.now(UTC),
                    deadline=start + DEADLINE_SECONDS,
                    clock=time.monotonic,
                    runs=runs,
                )
                ticks.append(time.monotonic() - start)
                cursor, finished = tick.cursor, tick.scan.finished_cycle
        found = connection.execute(
            "SELECT array_agg(key ORDER BY key) FROM landing.object_version"
            " WHERE source = 'benchmark'"
        ).fetchone()
    assert found is not None
    return {
        "ticks": len(ticks),
        "slowest": max(ticks),
        "seconds": sum(ticks),
        "memory": memory.megabytes,
        "found": len(set(found[0]) & {key(index) for index in new}),
        "returned": len(found[0]),
    }


def fill_ledger(connection: Any, interface: str, keys: int, new: list[int]) -> None:
    """Everything but the new keys is known, under another source's name to tell them apart."""
    version = (
        f"'{GENERATION}'"
        if interface == "gcs"
        else f"""'{ETAG}-{SIZE}-' || to_char(({MODIFIED.isoformat()!r}::timestamptz
              + i * interval '1 second') AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"')"""
    )
    connection.execute("TRUNCATE landing.object_version, landing.batch RESTART IDENTITY CASCADE")
    connection.execute(
        f"""
        INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, created_at)
        VALUES ('20260101T000000Z-0001', 'earlier', 'benchmark', 'loaded', 1, 1, now());
        INSERT INTO landing.object_version
            (source, store, bucket, key, version, size, modified_at, seen_at, batch_id)
        SELECT 'earlier', '{interface}', '{BUCKET}', '{PREFIX}' || lpad(i::text, 8, '0') || '.csv',
               {version}, {SIZE}, now(), now(), '20260101T000000Z-0001'
        FROM generate_series(0, {keys - 1}) AS i WHERE i <> ALL ('{{{",".join(map(str, new))}}}');
        ANALYZE landing.object_version;
        """
    )


def measure_shipped(interface: str, keys: int) -> dict[str, Any]:
    """The shipped helper, told that the key before the last 10 is the newest it has seen."""
    since = key(keys - NEW - 1)
    if interface == "gcs":
        from dagster_gcp.gcs.sensor import get_gcs_keys as listing

        arguments = {"prefix": PREFIX, "since_key": since, "gcs_session": GcsListing(keys)}
    else:
        from dagster_aws.s3.sensor import get_objects as listing

        arguments = {"prefix": PREFIX, "since_key": since, "client": S3Listing(keys)}
    with PeakMemory() as memory:
        start = time.monotonic()
        found = listing(BUCKET, **arguments)
        seconds = time.monotonic() - start
    return {
        "ticks": 1,
        "slowest": seconds,
        "seconds": seconds,
        "memory": memory.megabytes,
        "found": len(found),
        "returned": len(found),
    }


def scratch_database(url: str) -> str:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {DATABASE}")
    return urlunsplit(urlsplit(url)._replace(path=f"/{DATABASE}"))


def drop_database(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def in_a_process(case: list[str], url: str) -> dict[str, Any]:
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.landing_scan", "--case", *case],
        env=os.environ | {"POSTGRES_URL": url},
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        check=True,
    )
    measured: dict[str, Any] = json.loads(answer.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", default="10000,200000,1000000")
    parser.add_argument("--case", nargs=3, metavar=("TOOL", "INTERFACE", "KEYS"))
    arguments = parser.parse_args()
    url = os.environ["POSTGRES_URL"]
    if arguments.case:
        tool, interface, keys = arguments.case
        measured = (
            measure_landing(interface, int(keys), url)
            if tool == "landing"
            else measure_shipped(interface, int(keys))
        )
        print(json.dumps(measured))
        return
    print(f"{PAGE:,} keys and {PAGE_SECONDS * 1000:.0f} ms a page, {NEW} new keys")
    print("landing's deadline is 20 s a tick; Dagster ends a sensor's tick at 60 s")
    print(
        f"{'interface':9} {'keys':>9} {'tool':12} {'ticks':>5} {'slowest tick':>12} "
        f"{'in all':>8} {'memory':>9} {'new found':>9}"
    )
    scratch = scratch_database(url)
    try:
        for interface in ("gcs", "s3"):
            for keys in arguments.keys.split(","):
                shipped = {"gcs": "get_gcs_keys", "s3": "get_objects"}[interface]
                for tool in ("landing", shipped):
                    got = in_a_process([tool, interface, keys], scratch)
                    print(
                        f"{interface:9} {int(keys):9,} {tool:12} {got['ticks']:5} "
                        f"{got['slowest']:10.1f} s {got['seconds']:6.1f} s "
                        f"{got['memory']:6.0f} MB {got['found']:4} of {NEW}",
                        flush=True,
                    )
    finally:
        drop_database(url)


if __name__ == "__main__":
    main()
