"""A whole task for the benchmark of images: manifest, images, metadata, result, in Postgres and S3.

Belongs here: products and an inventory for it, running it as its assets do, and a million items by
the bookkeeping alone. Does not: what it is compared with (``images.py``).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from assets.images.processing.engine import process
from assets.images.processing.operation import Item, Limits, Outcome
from assets.images.requests.request import ImageRequest
from assets.images.tasks import ending, ledger, manifest
from assets.images.tasks.attempt import attempt
from assets.images.tasks.work import work
from landing.arrival.identity import ObjectVersion
from landing.stores.minio import MinioStore
from migrations.upgrade import upgrade
from resources.minio_client import Access

log = logging.getLogger(__name__)

#: What the bookkeeping says of each image, instead of making it.
_CONSTANT = {"content": "0" * 32, "digest": "0" * 32, "width": 256, "height": 256, "bytes": 9_000}

_PRODUCTS = """
INSERT INTO images.product (id, gender, master_category, season, year, product_display_name,
    repaired, row_hash, ingested_at)
SELECT n, 'Men', 'Apparel', 'Fall', 2010, 'Shirt ' || n, false, '', now()
FROM generate_series(1, %s) AS n ON CONFLICT (id) DO NOTHING
"""
_IMAGES = """
INSERT INTO images.image (product_id, key, version, modified_at, size, format, width, height, mode,
    content, status, row_hash, ingested_at)
SELECT n, key, '1', now(), 1, 'JPEG', 1800, 2400, 'RGB', '', 'ok', '', now()
FROM unnest(%s::text[]) WITH ORDINALITY AS t (key, n)
"""
_NUMBERED = _IMAGES.replace(
    "unnest(%s::text[]) WITH ORDINALITY AS t (key, n)",
    "(SELECT n, 'k' || n AS key FROM generate_series(1, %s) AS n) AS t",
)


@dataclass(frozen=True)
class Tasks:
    """A database with as many products as there are keys of images, and the buckets."""

    url: str
    access: Access
    source: str
    target: str
    limits: Limits
    workers: int

    def prepare(self, keys: Sequence[str]) -> None:
        """Products, each with one of these images; those of before are forgotten."""
        upgrade(self.url)
        with psycopg.connect(self.url) as connection:
            connection.execute("TRUNCATE images.product, images.image")
            connection.execute(_PRODUCTS, (len(keys),))
            connection.execute(_IMAGES, (list(keys),))

    def run(self, limit: int, **parameters: Any) -> None:
        """A task over so many products, as its assets run it. Raises AssertionError."""
        with self._task(limit, parameters) as (connection, task):
            results = MinioStore(self.access.client(), self.target)
            done = attempt(connection, results, task, self._engine, log)
            assert done.found.ok, done.found
            _, found = ending.end(connection, results, ledger.task(connection, task.task_id))
            assert found.ok, found
            ended = ledger.task(connection, task.task_id)
            assert (ended.state, ended.settled) == ("done", limit), ended

    def keep_books(self, items: int) -> dict[str, float]:
        """Seconds of each part of a task whose images are replaced by a constant."""
        with psycopg.connect(self.url) as connection:
            connection.execute(_PRODUCTS, (items,))
            connection.execute("TRUNCATE images.image")
            connection.execute(_NUMBERED, (items,))
        seconds, started = {}, time.monotonic()
        with self._task(items, {}) as (connection, task):
            seconds["manifest"] = time.monotonic() - started
            started = time.monotonic()
            assert work(connection, task, _constant, log=log)
            seconds["outcomes"] = time.monotonic() - started
            started = time.monotonic()
            results = MinioStore(self.access.client(), self.target)
            _, found = ending.end(connection, results, ledger.task(connection, task.task_id))
            assert found.ok, found
            seconds["metadata and result"] = time.monotonic() - started
        return seconds

    @contextmanager
    def _task(
        self, limit: int, parameters: dict[str, Any]
    ) -> Iterator[tuple[psycopg.Connection[Any], ledger.Task]]:
        name = uuid.uuid4().hex[:12]
        asked = {"task": name, "limit": limit, "parameters": parameters}
        request = ImageRequest.model_validate(asked)
        version = ObjectVersion("minio", "requests", f"{name}.json", "1", 1, datetime.now(UTC))
        with psycopg.connect(self.url, autocommit=True) as connection:
            ledger.register(connection, request, version)
            _, found = manifest.decide(connection, ledger.task(connection, name))
            assert found.ok, found
            yield connection, ledger.task(connection, name)

    def _engine(self, connection: psycopg.Connection[Any], task: ledger.Task) -> bool:
        def run(items: Iterable[Item], stop: Callable[[], bool]) -> Iterator[Outcome]:
            return process(
                items, task.asked().work(), self.limits, source=self.source, target=self.target,
                access=self.access, workers=self.workers, stop=stop,
            )  # fmt: skip

        return work(connection, task, run, log=log)


def _constant(items: Iterable[Item], _stop: Callable[[], bool]) -> Iterator[Outcome]:
    for item in items:
        yield Outcome(item.number, "ok", **_CONSTANT)  # type: ignore[arg-type]
