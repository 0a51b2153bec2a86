"""Every advisory lock of quintet's database: what it protects, its key, and taking it.

Belongs here: the one list of keys, which share a space per database, and the statements. Does not:
what is done under a lock, or keeping one while connections break (``landing/batch/locks.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]


class Lock(StrEnum):
    """A lock by its key in SQL; ``%s`` in it is the name of what is locked.

    Keys stay as they are: a process of an older version, still running, must meet a newer one at
    the same lock.
    """

    #: Held while a run's process lives. Name: the run's id.
    RUN = "81, hashtext(%s)"
    #: One run at a time decides and writes these records. Name: the declaration's ``writer``.
    WRITER = "82, hashtext(%s)"
    #: One tick at a time makes and requests batches of a source. Name: the source's.
    SOURCE = "83, hashtext(%s)"
    #: Batch ids increase in the order in which batches become visible.
    BATCH_ID = "84, 0"
    #: One MERGE at a time into a warehouse's table. Name: the table's full one.
    MERGE = "85, hashtext(%s)"
    #: One reporter of changed days of reading: two would tell the same days twice.
    CHANGE_REPORT = "86, 0"
    #: Held while a process asks OpenAI for what it has claimed. Name: the claims' owner.
    OPENAI_ASKER = "87, hashtext(%s)"
    #: One process at a time handles OpenAI's batches of a month. Name: its budget's key.
    OPENAI_BATCHES = "89, hashtext(%s)"
    #: One sender of alerts: two would send the same message twice.
    ALERT_SENDER = "88, 0"
    #: One worker at a time works on a shard of an image task. Name: task/shard.
    IMAGE_SHARD = "90, hashtext(%s)"
    #: Shared by workers at shards of an image task; alone, its items are decided. Name: the task.
    IMAGE_TASK = "91, hashtext(%s)"
    #: One request at a time is put under the name of an image task. Name: the task.
    IMAGE_REQUEST = "94, hashtext(%s)"
    #: One change at a time of the list of campaigns' recommendations, in whose order rows lock.
    RECOMMENDATIONS = "92, 0"
    #: One decision of winners at a time. Name: the pipeline's.
    DECISION = "7435630, hashtext(%s)"
    #: One batch at a time is written into music's star schema.
    STAR_SCHEMA = "1936288886"
    #: One buyer of embeddings: the next finds what the first has paid for.
    EMBEDDINGS = "hashtextextended('quintet.cache.embedding', 0)"
    #: One starter migrates the schema.
    MIGRATIONS = "hashtext('quintet.migrations')"


def take(connection: Connection, lock: Lock, name: str | None = None) -> None:
    """Wait for the lock and hold it as long as the session. Raises psycopg.Error."""
    connection.execute(f"SELECT pg_advisory_lock({lock})", _names(name))


def try_to_take(connection: Connection, lock: Lock, name: str | None = None) -> bool:
    """As :func:`take`, but at once; False when another session has it. Raises psycopg.Error."""
    row = connection.execute(f"SELECT pg_try_advisory_lock({lock})", _names(name)).fetchone()
    return bool(row and row[0])


def take_until_commit(connection: Connection, lock: Lock, name: str | None = None) -> None:
    """Wait for the lock and hold it until the transaction ends. Raises psycopg.Error."""
    connection.execute(f"SELECT pg_advisory_xact_lock({lock})", _names(name))


@contextmanager
def held(connection: Connection, lock: Lock, name: str | None = None) -> Iterator[None]:
    """Wait for the lock and hold it while the body runs; ``connection`` is in autocommit mode."""
    take(connection, lock, name)
    try:
        yield
    finally:
        connection.execute(f"SELECT pg_advisory_unlock({lock})", _names(name))


@contextmanager
def held_at_once(connection: Connection, lock: Lock, name: str | None = None) -> Iterator[bool]:
    """As :func:`held` without waiting: whether the lock was free, and is held by the body now."""
    free = try_to_take(connection, lock, name)
    try:
        yield free
    finally:
        if free:
            connection.execute(f"SELECT pg_advisory_unlock({lock})", _names(name))


@contextmanager
def shared_at_once(connection: Connection, lock: Lock, name: str | None = None) -> Iterator[bool]:
    """As :func:`held_at_once`, beside others who share it."""
    values = _names(name)
    row = connection.execute(f"SELECT pg_try_advisory_lock_shared({lock})", values).fetchone()
    free = bool(row and row[0])
    try:
        yield free
    finally:
        if free:
            connection.execute(f"SELECT pg_advisory_unlock_shared({lock})", values)


def is_held(connection: Connection, lock: Lock, name: str) -> bool:
    """Whether a living session of this database has the lock, whose key must have two parts."""
    # pg_locks shows both halves of such a key as unsigned numbers, objsubid 2.
    row = connection.execute(
        f"""
        SELECT EXISTS (
            SELECT FROM pg_locks, (SELECT {lock}) AS key (class, name)
            WHERE locktype = 'advisory' AND granted AND objsubid = 2
              AND classid = key.class::oid
              AND objid = (key.name::bigint & 4294967295)::oid
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
        """,
        _names(name),
    ).fetchone()
    return bool(row and row[0])


def _names(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)
