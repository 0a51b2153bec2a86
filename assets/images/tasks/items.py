"""The items of a task: those that wait, and what came of them.

Belongs here: reads and writes of ``images.image_task_item``, in blocks. Does not: which items a
task has (``manifest.py``), working on them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from assets.images.processing.operation import STATUSES, Item, Outcome, Status
from assets.images.tasks import ledger

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task

    Connection = psycopg.Connection[Any]

#: Items read at a time.
PAGE = 5_000

_WAITING = """
SELECT number, product_id, source_key, extension FROM images.image_task_item
WHERE task_id = %s AND status IS NULL AND number > %s AND number <= %s
ORDER BY number LIMIT %s
"""
_SETTLE = """
UPDATE images.image_task_item AS i SET status = o.status, detail = o.detail, content = o.content,
    digest = o.digest, width = o.width, height = o.height, bytes = o.bytes, seconds = o.seconds
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::int[],
        %s::bigint[], %s::real[])
    AS o (number, status, detail, content, digest, width, height, bytes, seconds)
WHERE i.task_id = %s AND i.number = o.number AND i.status IS NULL
    AND EXISTS (SELECT FROM images.image_task AS t
        WHERE t.task_id = i.task_id AND t.request_hash = %s)
"""


def target_key(task_id: str, product_id: int, extension: str) -> str:
    """Where an item's result lies in the bucket of results."""
    return f"{task_id}/{product_id}.{extension}"


def waiting(
    connection: Connection, task_id: str, *, first: int = 1, last: int = 2**62
) -> Iterator[Item]:
    """The items without an outcome whose numbers are ``first`` to ``last``, a page at a time."""
    number = first - 1
    while rows := connection.execute(_WAITING, (task_id, number, last, PAGE)).fetchall():
        for number, product_id, source, extension in rows:
            yield Item(number, product_id, source, target_key(task_id, product_id, extension))


def some_wait(connection: Connection, task_id: str) -> bool:
    """Whether any item has no outcome."""
    row = connection.execute(
        """
        SELECT EXISTS (SELECT FROM images.image_task_item WHERE task_id = %s AND status IS NULL)
        """,
        (task_id,),
    ).fetchone()
    return bool(row and row[0])


def settle(connection: Connection, task: Task, outcomes: Sequence[Outcome], seconds: float) -> int:
    """Write outcomes, once each, in one transaction; how many were new.

    ``seconds`` are those since the block before. A worker that a newer request of the task's name
    has overtaken says nothing about that one's items.
    """
    columns: list[list[Any]] = [
        [one.number for one in outcomes],
        [one.status for one in outcomes],
        [one.detail.replace("\0", "\\0") for one in outcomes],
        [one.content or None for one in outcomes],
        [one.digest or None for one in outcomes],
        [one.width or None for one in outcomes],
        [one.height or None for one in outcomes],
        [one.bytes or None for one in outcomes],
        [one.seconds for one in outcomes],
    ]
    with connection.transaction():
        ledger.hold(connection, task.task_id)
        new = connection.execute(_SETTLE, (*columns, task.task_id, task.request_hash)).rowcount
        ledger.settled(connection, task.task_id, new, seconds)
    return new


def counts(connection: Connection, task_id: str) -> dict[Status, int]:
    """Items by what came of them; those that wait are in none."""
    rows = connection.execute(
        """
        SELECT status, count(*) FROM images.image_task_item
        WHERE task_id = %s AND status IS NOT NULL GROUP BY status
        """,
        (task_id,),
    ).fetchall()
    found = dict(rows)
    return {status: found[status] for status in STATUSES if status in found}
