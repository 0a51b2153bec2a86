"""A worker's turn at a shard: taken if it is free, worked on until its items have outcomes.

Belongs here: that turn, with the worker machine's own variables. Does not: Celery.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from assets.images.scaleout import shards
from assets.images.settings import ImagesSettings
from assets.images.tasks import ledger
from assets.images.tasks.work import work
from resources.minio_client import Access
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

log = logging.getLogger(__name__)


def take_turn(task_id: str, shard: int) -> str:
    """Work on the shard: ``done``, ``held`` by another, ``cancelled``, or ``gone``.

    Raises what the store and the workers do, and notes it with the shard. Delivered twice, the
    second turn finds it held or done.
    """
    postgres = PostgresResource(url=os.environ["POSTGRES_URL"])
    with postgres.connect(autocommit=True) as connection:
        found = shards.bounds(connection, task_id, shard)
        if found is None:
            return "gone"
        with shards.taken(connection, task_id, shard) as free:
            if not free:
                return "held"
            try:
                done = _work(connection, task_id, *found)
            except Exception as error:
                shards.note(connection, task_id, shard, f"{type(error).__name__}: {error}")
                raise
            shards.note(connection, task_id, shard, None)
    return "done" if done else "cancelled"


def _work(connection: Connection, task_id: str, first: int, last: int) -> bool:
    from assets.images.tasks.local_engine import local

    task = ledger.task(connection, task_id)
    if task.state != "running":
        return False
    process = local(task, ImagesSettings.current(), _access())
    return work(connection, task, process, log=log, first=first, last=last)


def _access() -> Access:
    variables = ("MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY")
    endpoint, access_key, secret_key = (os.environ[name] for name in variables)
    return Access(endpoint, access_key, secret_key)
