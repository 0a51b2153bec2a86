"""One Celery task an image, as the system did that images replaces: for the benchmark of images.

Belongs here: that task, its worker and its sender. Does not: our own shards
(``assets.images.scaleout``). Run by ``images.py``, with a real RabbitMQ.
"""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence

import psycopg
from celery import Celery
from PIL import Image

from assets.images.processing.store import ObjectStore
from resources.minio_client import Access

_ENVIRONMENT = ("BROKER", "POSTGRES", "ENDPOINT", "ACCESS", "SECRET", "SOURCE", "TARGET")
_TABLE = "CREATE TABLE IF NOT EXISTS celery_image (run text, key text, PRIMARY KEY (run, key))"

_MOST_BYTES = 64 << 20

app = Celery("images_each", broker=os.environ.get("BENCHMARK_BROKER", ""))
app.conf.update(
    task_ignore_result=True, task_acks_late=True, worker_prefetch_multiplier=4,
    task_default_queue="images-each", broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
)  # fmt: skip
_open: dict[str, ObjectStore] = {}


@app.task(name="images.each")  # type: ignore[untyped-decorator]
def each(run: str, key: str) -> None:
    """Read, decode, crop, resize, encode, write, note."""
    told = {name: os.environ[f"BENCHMARK_{name}"] for name in _ENVIRONMENT}
    access = Access(told["ENDPOINT"], told["ACCESS"], told["SECRET"])
    for name in ("SOURCE", "TARGET"):
        _open.setdefault(name, ObjectStore(access, told[name], patience=30))
    with Image.open(io.BytesIO(_open["SOURCE"].get(key, _MOST_BYTES))) as image:
        width, height = int(image.width * 0.8), int(image.height * 0.8)
        left = random.randrange(image.width - width + 1)
        top = random.randrange(image.height - height + 1)
        made = image.crop((left, top, left + width, top + height)).resize((256, 256))
    out = io.BytesIO()
    made.save(out, "JPEG", quality=90)
    _open["TARGET"].put(f"{run}/{key}.jpg", out.getvalue(), "image/jpeg")
    with psycopg.connect(told["POSTGRES"]) as connection:
        connection.execute("INSERT INTO celery_image VALUES (%s, %s)", (run, key))


def environment(
    broker: str, postgres: str, access: Access, buckets: Sequence[str]
) -> dict[str, str]:
    """What its worker has to be told."""
    told = (broker, postgres, access.endpoint, access.access_key, access.secret_key, *buckets)
    return {f"BENCHMARK_{name}": value for name, value in zip(_ENVIRONMENT, told, strict=True)}


def start_worker(variables: dict[str, str], processes: int) -> subprocess.Popen[bytes]:
    """A worker of so many processes, once it is ready to take tasks."""
    with psycopg.connect(variables["BENCHMARK_POSTGRES"]) as connection:
        connection.execute(_TABLE)
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.images_celery", "worker",
               "-Q", "images-each", "-c", str(processes), "--loglevel", "ERROR"]  # fmt: skip
    worker = subprocess.Popen(command, env={**os.environ, **variables})
    send(variables, "warm-up", [])
    return worker


def send(variables: dict[str, str], run: str, keys: Sequence[str]) -> None:
    """Send a task for each key, and wait until all are noted."""
    sender = Celery("sender", broker=variables["BENCHMARK_BROKER"])
    sender.conf.broker_transport_options = {"confirm_publish": True}
    with psycopg.connect(variables["BENCHMARK_POSTGRES"], autocommit=True) as connection:
        for key in keys:
            sender.send_task("images.each", (run, key), queue="images-each")
        while True:
            row = connection.execute(
                "SELECT count(*) FROM celery_image WHERE run = %s", (run,)
            ).fetchone()
            if row is not None and row[0] >= len(keys):
                return
            time.sleep(0.05)
