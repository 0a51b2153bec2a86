"""How a task ends that is not done: in the ledger, and in the file that its client reads.

Belongs here: that both are told, and which tasks are left in the middle. Does not: which errors are
failures, whether a run is at a task (``sensors/image_tasks.py``).
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.images.tasks import items, ledger, result_file
from resources import secrecy

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import State
    from landing.stores.base import ObjectStore

    Connection = psycopg.Connection[Any]

#: An operator resumes a task for a run that is to come: such a one is pending and had an end.
_LEFT = """
SELECT t.task_id, t.cancel_requested, (
    SELECT b.error FROM landing.batch AS b
    WHERE b.pipeline = %(pipeline)s AND coalesce(b.unit, b.batch_id) = t.task_id
        AND b.state = 'failed_permanent' ORDER BY b.batch_id DESC LIMIT 1)
FROM images.image_task AS t
WHERE (t.state = 'running' OR t.state = 'pending' AND t.finished_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM landing.batch AS b
        WHERE b.pipeline = %(pipeline)s AND coalesce(b.unit, b.batch_id) = t.task_id
            AND b.state NOT IN ('loaded', 'loaded_with_rejects', 'failed_permanent'))
ORDER BY t.requested_at, t.task_id LIMIT %(limit)s
"""
_LEFT_ALONE = "its run ended in the middle: run its partition again, which goes on"


@dataclass(frozen=True, slots=True)
class Left:
    """A task in the middle; ``error`` is why its batch waits for an operator."""

    task_id: str
    cancel_requested: bool
    error: str | None


def fail(connection: Connection, results: ObjectStore, task_id: str, error: Exception) -> None:
    """The task can't go on, unless it has ended. Raises psycopg.Error, but nothing of the store's.

    A store that refuses may be why it fails: then the ledger alone is told.
    """
    said = secrecy.blanked(f"{type(error).__name__}: {error}", os.environ, ())
    ledger.fail(connection, task_id, said)
    try:
        _tell(connection, results, task_id, "failed")
    except Exception as unwritten:  # noqa: BLE001 - the task's own error is the one to raise
        error.add_note(f"its result file could not be written: {type(unwritten).__name__}")


def stop(connection: Connection, results: ObjectStore, task_id: str) -> None:
    """Its run is ended from outside: it is cancelled where it is, unless it has ended.

    The next run goes on. Raises psycopg.Error. There may be no time left for the file.
    """
    ledger.cancelled(connection, task_id)
    with suppress(Exception):
        _tell(connection, results, task_id, "cancelled")


def left(connection: Connection, pipeline: str, limit: int) -> list[Left]:
    """Tasks in the middle to which no run comes by itself, those asked for first.

    Runs that a person has started are not known here. Raises psycopg.Error.
    """
    values = {"pipeline": pipeline, "limit": limit}
    return [Left(*row) for row in connection.execute(_LEFT, values)]


def give_up(connection: Connection, results: ObjectStore, task: Left, *, cancelled: bool) -> None:
    """Nobody is at the task: its end and its file say so, both or neither.

    One that has ended meanwhile stays as it is. Raises psycopg.Error, what the store raises.
    """
    state: State = "cancelled" if cancelled or task.cancel_requested else "failed"
    with connection.transaction():
        if state == "cancelled":
            ledger.cancelled(connection, task.task_id)
        else:
            ledger.fail(connection, task.task_id, task.error or _LEFT_ALONE)
        _tell(connection, results, task.task_id, state)


def _tell(connection: Connection, results: ObjectStore, task_id: str, state: State) -> None:
    ended = ledger.task(connection, task_id)
    if ended.state != state or ended.refused:
        return
    body = result_file.result(ended, items.counts(connection, task_id))
    results.put(f"{task_id}/{result_file.RESULT}", body, content_type="application/json")
