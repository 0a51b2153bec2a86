"""Ticks of landing over real objects on the embedded S3 gateway, through both of its clients.

The first cycle records every object; then 10 are added, which the next cycle must find. Dagster's
shipped ``get_objects`` lists the same bucket beside it. Starts its own servers. Run:

    python -m benchmarks.gateway_scan [--objects 20000] [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.landing_scan import PeakMemory
from landing.arrival.scan import DEADLINE_SECONDS
from landing.arrival.source import Source
from local.stack import Stack
from tests.servers import isolated_environment, start

SERVICES = ["postgres", "s3"]
BUCKET = "gateway-scan"
NEW = 10
WRITERS = 16


def put(s3: Any, keys: list[str]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"), keys))


def cycle(store: Any, env: dict[str, str]) -> Iterator[tuple[float, int]]:
    """Ticks until the bucket's end: seconds and new objects of each."""
    import psycopg

    from landing.arrival.tick import evaluate_tick

    source = Source(
        name=f"gateway_{store.kind}",
        pipeline="campaigns",
        store=store.kind,
        bucket=BUCKET,
        prefix="in/",
        pattern=re.compile(r"in/.*\.csv"),
        sinks=("only",),
    )
    runs = SimpleNamespace(
        how_ended=lambda _key: None,
        has_succeeded=lambda _run: False,
        give_up=lambda _run: "began",
    )
    cursor, finished = None, False
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        while not finished:
            began = time.monotonic()
            tick = evaluate_tick(
                source,
                store,
                connection,
                cursor,
                # Objects told apart by etag, size and second are taken once that second is over.
                now=lambda: datetime.now(UTC) + timedelta(seconds=5),
                deadline=began + DEADLINE_SECONDS,
                clock=time.monotonic,
                runs=runs,
            )
            cursor, finished = tick.cursor, tick.scan.finished_cycle
            yield time.monotonic() - began, tick.scan.new


def measure(env: dict[str, str], objects: int) -> None:
    import boto3
    import minio
    from botocore.config import Config
    from dagster_aws.s3.sensor import get_objects

    from landing.stores.minio import MinioStore
    from landing.stores.s3 import S3Store

    credentials = {
        "endpoint_url": env["AWS_ENDPOINT_URL_S3"],
        "aws_access_key_id": env["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": env["AWS_SECRET_ACCESS_KEY"],
    }
    s3 = boto3.client(
        "s3",
        region_name="us-east-1",
        config=Config(max_pool_connections=WRITERS),
        **credentials,  # type: ignore[call-overload]
    )
    gateway = minio.Minio(
        env["MINIO_ENDPOINT"].removeprefix("http://"),
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
        secure=False,
    )
    s3.create_bucket(Bucket=BUCKET)
    began = time.monotonic()
    put(s3, [f"in/{number % 97}/{number:07d}.csv" for number in range(objects)])
    print(f"{objects:,} objects put in {time.monotonic() - began:.0f} s", flush=True)
    stores = {"boto3": S3Store(s3, BUCKET), "minio": MinioStore(gateway, BUCKET)}
    for name, store in stores.items():
        with PeakMemory() as memory:
            ticks = list(cycle(store, env))
        report(f"{name}, first cycle", ticks, memory.megabytes)
        with PeakMemory() as memory:
            ticks = list(cycle(store, env))
        report(f"{name}, nothing new", ticks, memory.megabytes)
    put(s3, [f"in/{number * 9}/late{number}.csv" for number in range(NEW)])
    for name, store in stores.items():
        with PeakMemory() as memory:
            ticks = list(cycle(store, env))
        report(f"{name}, {NEW} new", ticks, memory.megabytes)
    with PeakMemory() as memory:
        began = time.monotonic()
        found = get_objects(BUCKET, prefix="in/", client=s3)
        seconds = time.monotonic() - began
    report("get_objects, all", [(seconds, len(found))], memory.megabytes)


def report(what: str, ticks: list[tuple[float, int]], megabytes: float) -> None:
    print(
        f"{what:22} {len(ticks):3} ticks, slowest {max(s for s, _ in ticks):5.1f} s, in all "
        f"{sum(s for s, _ in ticks):5.1f} s, {megabytes:4.0f} MB, "
        f"{sum(new for _, new in ticks):6,} new",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        home = scratch / "home"
        home.mkdir()
        with isolated_environment(stack, SERVICES, home) as env:
            measure(env, arguments.objects)
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
