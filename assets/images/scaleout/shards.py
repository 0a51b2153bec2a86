"""Shards of a task: ranges of its items, each worked on by one worker at a time.

Belongs here: reads and writes of ``images.image_task_shard``, and who holds one. Does not: sending
shards to workers (``sending.py``), working on one (``worker.py``). Rows and locks in Postgres say
what is done; the broker only carries numbers, and may lose or repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.advisory_locks import Lock, held_at_once

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Items of a shard: about half a minute of one machine.
SHARD_ITEMS = 5_000

_ERROR_CHARACTERS = 1_000

_CUT = """
INSERT INTO images.image_task_shard (task_id, shard, first, last)
SELECT %(task)s, n, n * %(size)s + 1, least((n + 1) * %(size)s, %(items)s)
FROM generate_series(0, (%(items)s - 1) / %(size)s) AS n
ON CONFLICT (task_id, shard) DO NOTHING
"""
#: A shard is done when none of its items waits: those that are found lost wait again.
_OPEN = """
SELECT s.shard, s.failures, s.error FROM images.image_task_shard AS s
WHERE s.task_id = %s AND EXISTS (
    SELECT FROM images.image_task_item AS i
    WHERE i.task_id = s.task_id AND i.number BETWEEN s.first AND s.last AND i.status IS NULL)
ORDER BY s.shard
"""
_HELD = f"""
SELECT s.shard FROM images.image_task_shard AS s
CROSS JOIN LATERAL (SELECT {Lock.IMAGE_SHARD.replace("%s", "s.task_id || '/' || s.shard")})
    AS key (class, name)
JOIN pg_locks AS l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = key.class::oid AND l.objid = (key.name::bigint & 4294967295)::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE s.task_id = %s
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard with items that wait; ``failures`` of its workers in a row, the last one's error."""

    number: int
    failures: int
    error: str | None


def cut(connection: Connection, task_id: str, items: int, size: int = SHARD_ITEMS) -> None:
    """Make the shards of a task, unless they are made. Raises psycopg.Error."""
    connection.execute(_CUT, {"task": task_id, "size": size, "items": items})


def waiting(connection: Connection, task_id: str) -> list[Shard]:
    """The shards that are not done, in order."""
    return [Shard(*row) for row in connection.execute(_OPEN, (task_id,))]


def being_worked_on(connection: Connection, task_id: str) -> set[int]:
    """The shards that a living worker holds."""
    return {row[0] for row in connection.execute(_HELD, (task_id,))}


def bounds(connection: Connection, task_id: str, shard: int) -> tuple[int, int] | None:
    """The numbers of its first and last item; None for one that there is not (any more)."""
    return connection.execute(
        "SELECT first, last FROM images.image_task_shard WHERE task_id = %s AND shard = %s",
        (task_id, shard),
    ).fetchone()


@contextmanager
def taken(connection: Connection, task_id: str, shard: int) -> Iterator[bool]:
    """Hold the shard while the body runs; False where another worker holds it.

    ``connection`` is in autocommit mode. Postgres frees it when this process dies.
    """
    with held_at_once(connection, Lock.IMAGE_SHARD, f"{task_id}/{shard}") as free:
        yield free


def note(connection: Connection, task_id: str, shard: int, error: str | None) -> None:
    """How a worker's turn at the shard ended: None when it ended well."""
    connection.execute(
        """
        UPDATE images.image_task_shard SET error = %(error)s,
            failures = CASE WHEN %(error)s::text IS NULL THEN 0 ELSE failures + 1 END
        WHERE task_id = %(task)s AND shard = %(shard)s
        """,
        {
            "error": error[:_ERROR_CHARACTERS].replace("\0", "\\0") if error else None,
            "task": task_id,
            "shard": shard,
        },
    )
