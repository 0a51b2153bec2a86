"""Shards of a task: ranges of its items, each worked on by one worker at a time.

Belongs here: reads and writes of ``images.image_task_shard``, and who holds one. Does not: sending
shards to workers (``sending.py``), working on one (``worker.py``). Rows and locks in Postgres say
what is done; the broker only carries numbers, and may lose or repeat them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.advisory_locks import Lock, held_at_once, shared_at_once

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

_ERROR_CHARACTERS = 1_000
#: What a shard says while it is worked on, and after a worker that could say nothing more.
_LOST = "its worker was lost"

#: Shards that are there stay as they are: those of another size would overlap with them. Whatever
#: workers failed at is tried anew.
_CUT = """
WITH there AS (
    UPDATE images.image_task_shard SET failures = 0, error = NULL WHERE task_id = %(task)s
    RETURNING shard)
INSERT INTO images.image_task_shard (task_id, shard, first, last)
SELECT %(task)s, made.shard, made.first, made.last
FROM unnest(%(shards)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[])
    AS made (shard, first, last)
WHERE NOT EXISTS (SELECT FROM there)
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
SELECT s.shard, l.pid FROM images.image_task_shard AS s
CROSS JOIN LATERAL (SELECT {Lock.IMAGE_SHARD.replace("%s", "s.task_id || '/' || s.shard")})
    AS key (class, name)
JOIN pg_locks AS l ON l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = key.class::oid AND l.objid = (key.name::bigint & 4294967295)::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
WHERE s.task_id = %s
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard with items that wait; ``failures`` of its workers in a row, the last one's error.

    The one that is at it counts, until it ends well.
    """

    number: int
    failures: int
    error: str | None


def ranges(items: int, size: int) -> list[tuple[int, int]]:
    """The first and last item of each shard, of ``size`` items but for the last one. Pure."""
    return [(first, min(first + size - 1, items)) for first in range(1, items + 1, size)]


def cut(connection: Connection, task_id: str, items: int, size: int) -> None:
    """Make the shards of a task, unless they are made. Raises psycopg.Error."""
    made = ranges(items, size)
    values = {
        "task": task_id,
        "shards": list(range(len(made))),
        "firsts": [first for first, _ in made],
        "lasts": [last for _, last in made],
    }
    connection.execute(_CUT, values)


def waiting(connection: Connection, task_id: str) -> list[Shard]:
    """The shards that are not done, in order."""
    return [Shard(*row) for row in connection.execute(_OPEN, (task_id,))]


def being_worked_on(connection: Connection, task_id: str) -> dict[int, int]:
    """The shards that a worker holds, each with the process id of its session in Postgres."""
    return dict(connection.execute(_HELD, (task_id,)).fetchall())


def end_sessions(connection: Connection, sessions: Collection[int]) -> None:
    """End these, so that what they hold is free. Raises psycopg.Error."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (list(sessions),)
    )


def bounds(connection: Connection, task_id: str, shard: int) -> tuple[int, int] | None:
    """The numbers of its first and last item; None for one that there is not (any more)."""
    return connection.execute(
        "SELECT first, last FROM images.image_task_shard WHERE task_id = %s AND shard = %s",
        (task_id, shard),
    ).fetchone()


@contextmanager
def taken(connection: Connection, task_id: str, shard: int) -> Iterator[bool]:
    """Hold the shard while the body runs; False where another worker holds it.

    Also False while the items of another request of the task's name are being decided.
    ``connection`` is in autocommit mode. Postgres frees it when this process dies.
    """
    with (
        shared_at_once(connection, Lock.IMAGE_TASK, task_id) as decided,
        held_at_once(connection, Lock.IMAGE_SHARD, f"{task_id}/{shard}") as free,
    ):
        yield decided and free


def begin(connection: Connection, task_id: str, shard: int) -> None:
    """A worker begins its turn. It counts as failed until it says another thing."""
    connection.execute(
        """
        UPDATE images.image_task_shard SET failures = failures + 1, error = %s
        WHERE task_id = %s AND shard = %s
        """,
        (_LOST, task_id, shard),
    )


def end(connection: Connection, task_id: str, shard: int, error: str | None) -> None:
    """How the turn ended: None when it ended well."""
    connection.execute(
        """
        UPDATE images.image_task_shard SET error = %(error)s,
            failures = CASE WHEN %(error)s::text IS NULL THEN 0 ELSE failures END
        WHERE task_id = %(task)s AND shard = %(shard)s
        """,
        {
            "error": error[:_ERROR_CHARACTERS].replace("\0", "\\0") if error else None,
            "task": task_id,
            "shard": shard,
        },
    )
