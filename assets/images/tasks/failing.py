"""How a task fails: in the ledger, and in the file that its client reads.

Belongs here: that both are told. Does not: which errors are failures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from assets.images.tasks import items, ledger, result_file
from resources import secrecy

if TYPE_CHECKING:
    import psycopg

    from landing.stores.base import ObjectStore


def fail(
    connection: psycopg.Connection[Any], results: ObjectStore, task_id: str, error: Exception
) -> None:
    """The task can't go on, unless it has ended. Raises psycopg.Error, but nothing of the store's.

    A store that refuses may be why it fails: then the ledger alone is told.
    """
    said = secrecy.blanked(f"{type(error).__name__}: {error}", os.environ, ())
    ledger.fail(connection, task_id, said)
    failed = ledger.task(connection, task_id)
    if failed.state != "failed" or failed.refused:
        return
    body = result_file.result(failed, items.counts(connection, task_id))
    try:
        results.put(f"{task_id}/{result_file.RESULT}", body, content_type="application/json")
    except Exception as unwritten:  # noqa: BLE001 - the task's own error is the one to raise
        error.add_note(f"its result file could not be written: {type(unwritten).__name__}")
