"""Thousands of real objects behind the S3 gateway: every one is found, once, in bounded ticks."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import boto3
import minio
import psycopg
import pytest
from botocore.config import Config

from landing.arrival.source import Source
from landing.arrival.tick import Ended, evaluate_tick
from landing.stores.minio import MinioStore
from landing.stores.s3 import S3Store

pytestmark = pytest.mark.servers("postgres", "s3")

OBJECTS = 2_000
BUCKET = "landing-gateway"


class NoRuns:
    """No run was ever started."""

    def how_ended(self, _run_key: str) -> Ended | None:
        return None

    def has_succeeded(self, _run_id: str) -> bool:
        return False

    def give_up(self, _run_id: str) -> Ended:
        return "began"


def source(kind) -> Source:
    return Source(
        name=f"gateway_{kind}",
        pipeline="campaigns",
        store=kind,
        bucket=BUCKET,
        prefix=f"{kind}/",
        pattern=re.compile(r".*\.csv"),
        sinks=("one",),
        page_size=500,
    )


def clients(env):
    s3 = boto3.client("s3", region_name="us-east-1", config=Config(max_pool_connections=16))
    host = env["MINIO_ENDPOINT"].removeprefix("http://")
    gateway = minio.Minio(
        host,
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
        secure=False,
    )
    return s3, gateway


def tick(store, kind, env, cursor, deadline):
    # Objects told apart by etag, size and second are taken once that second is over.
    later = datetime.now(UTC) + timedelta(seconds=5)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        return evaluate_tick(
            source(kind),
            store,
            connection,
            cursor,
            now=lambda: later,
            deadline=time.monotonic() + deadline,
            clock=time.monotonic,
            runs=NoRuns(),
        )


def recorded(env, kind):
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        rows = connection.execute(
            "SELECT key FROM landing.object_version WHERE source = %s", (f"gateway_{kind}",)
        ).fetchall()
    return sorted(row[0] for row in rows)


@pytest.mark.parametrize("kind", ["s3", "minio"])
def test_every_object_is_recorded_once_and_the_next_cycle_finds_only_what_is_new(kind, env):
    s3, gateway = clients(env)
    if BUCKET not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=BUCKET)
    keys = [f"{kind}/{number % 7}/{number:06d}.csv" for number in range(OBJECTS)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"), keys))
    store = S3Store(s3, BUCKET) if kind == "s3" else MinioStore(gateway, BUCKET)

    # A deadline that is over at once: one page a tick, and the cursor carries on.
    found, cursor, ticks = 0, None, 0
    while found < OBJECTS and ticks < 20:
        result = tick(store, kind, env, cursor, deadline=0)
        found, cursor, ticks = found + result.scan.new, result.cursor, ticks + 1
    assert ticks >= OBJECTS // 500
    assert recorded(env, kind) == sorted(keys)

    late = f"{kind}/3/000000_late.csv"
    s3.put_object(Bucket=BUCKET, Key=late, Body=b"y")
    new = sum(tick(store, kind, env, None, deadline=20).scan.new for _ in range(2))
    assert new == 1
    assert recorded(env, kind) == sorted([*keys, late])
