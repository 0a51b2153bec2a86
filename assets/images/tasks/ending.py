"""How a task ends: its metadata files, then its state, then the file that says so.

Belongs here: that order. Does not: what the files hold.
Imported lazily: needs pyarrow.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assets.images.tasks import items, ledger, metadata_files, result_file, webdataset
from assets.sinks import objects
from assets.sinks.result import SinkResult, Verification
from landing.batch.failures import TransientError

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task
    from landing.stores.minio import MinioStore


class ItemsWaitError(TransientError):
    """Some of the task's images are to be made yet, by a run that comes to that."""


def end(
    connection: psycopg.Connection[Any], results: MinioStore, task: Task
) -> tuple[SinkResult, Verification]:
    """Write what lies beside the images, set the task done, tell the client.

    A task whose files are written and still there stays as it is. One that was cancelled is told
    so, without metadata; of a refused one the result says why. Raises ItemsWaitError, psycopg.Error
    and what the store raises.
    """
    started = time.monotonic()
    if task.refused:
        return SinkResult(0, 0, 0, 0.0), Verification()
    written = 0
    if task.state in {"running", *ledger.DONE} and items.some_wait(connection, task.task_id):
        # A run of an earlier request of this name, of which only this step was left.
        raise ItemsWaitError(f"items of {task.task_id} wait: task_images comes first")
    if task.state in {"running", *ledger.DONE} and not _there(results, task):
        rows, made = metadata_files.write(connection, results, task.task_id)
        if task.asked().webdataset:
            made |= webdataset.write(connection, results, task.task_id)
        webdataset.remove_others(results, task.task_id, made.keys())
        files = {name: asdict(one) for name, one in made.items()}
        written = rows
        ledger.written(connection, task.task_id, files)
    counts = items.counts(connection, task.task_id)
    if task.state == "running":
        ledger.close(connection, task.task_id, skips=bool(counts.keys() - {"ok"}))
    ended = ledger.task(connection, task.task_id)
    body = result_file.result(ended, counts)
    key = f"{task.task_id}/{result_file.RESULT}"
    if not _holds(results, key, body):
        results.put(key, body, content_type="application/json")
    total = sum(counts.values())
    found = _verified(results, ended, total)
    return SinkResult(total, total - written, 0, time.monotonic() - started), found


def _holds(results: MinioStore, key: str, body: bytes) -> bool:
    try:
        return results.get(key) == body
    except KeyError:
        return False


def _there(results: MinioStore, task: Task) -> bool:
    return bool(task.files) and all(
        objects.digest_of(results, f"{task.task_id}/{name}") == told["sha256"]
        for name, told in (task.files or {}).items()
    )


def _verified(results: MinioStore, task: Task, total: int) -> Verification:
    """Every item has an outcome, and the files are those that were written."""
    if task.state not in ledger.DONE:
        return Verification()
    items_missing = max((task.items or 0) - total, 0)
    missing = [] if _there(results, task) else list(task.files or {})
    return Verification(task.items or 0, items_missing + len(missing), sample=tuple(missing))
