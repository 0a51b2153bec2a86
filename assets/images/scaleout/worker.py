"""A worker's turn at a shard: taken if it is free, worked on until its items have outcomes.

Belongs here: that turn, with the worker machine's own variables. Does not: Celery.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from assets.images.processing.operation import Item, Outcome
from assets.images.scaleout import shards
from assets.images.settings import ImagesSettings
from assets.images.tasks import ledger
from assets.images.tasks.local_engine import local
from assets.images.tasks.work import work
from resources import secrecy
from resources.minio_client import Access
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: A turn ends after so many seconds, and the shard is sent again: RabbitMQ takes a message back
#: that is not acknowledged in half an hour, and closes the channel.
MOST_SECONDS = 900.0

_POSTGRES = "POSTGRES_URL"
_STORE = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")

log = logging.getLogger(__name__)


def prepare() -> None:
    """Import what a turn needs. Raises SystemExit with the names of variables that are missing."""
    import psycopg  # noqa: F401

    import assets.images.processing.engine  # noqa: F401

    if missing := [name for name in (_POSTGRES, *_STORE) if not os.environ.get(name)]:
        raise SystemExit(f"not set: {', '.join(missing)}")


def take_turn(task_id: str, shard: int) -> str:
    """Work on the shard: ``worked``, ``held`` by another, ``not wanted``, or ``gone``.

    Raises what the store and the workers do, and notes it with the shard. Delivered twice, the
    second turn finds it held or done.
    """
    came = _take_turn(task_id, shard)
    log.info("%s, shard %d: %s", task_id, shard, came)
    return came


def _take_turn(task_id: str, shard: int) -> str:
    postgres = PostgresResource(url=os.environ[_POSTGRES])
    with (
        postgres.connect(autocommit=True) as connection,
        shards.taken(connection, task_id, shard) as free,
    ):
        found = shards.bounds(connection, task_id, shard)
        if found is None or not free:
            return "gone" if found is None else "held"
        shards.begin(connection, task_id, shard)
        try:
            done = _work(connection, task_id, *found)
        except Exception as error:
            said = secrecy.blanked(f"{type(error).__name__}: {error}", os.environ, ())
            shards.end(connection, task_id, shard, said)
            raise
        shards.end(connection, task_id, shard, None)
    return "worked" if done else "not wanted"


def _work(connection: Connection, task_id: str, first: int, last: int) -> bool:
    task = ledger.task(connection, task_id)
    if not ledger.goes_on(connection, task):
        return False
    endpoint, access_key, secret_key = (os.environ[name] for name in _STORE)
    process = local(task, ImagesSettings.current(), Access(endpoint, access_key, secret_key))
    end = time.monotonic() + MOST_SECONDS

    def for_a_while(items: Iterable[Item], stop: Callable[[], bool]) -> Iterator[Outcome]:
        return process(items, lambda: stop() or time.monotonic() > end)

    return work(connection, task, for_a_while, log=log, first=first, last=last)
