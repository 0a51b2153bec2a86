"""All that an image task leaves, to be compared with what another run of it leaves.

Belongs here: reading it, and making it undone. Does not: any expectation.
"""

from __future__ import annotations

import json
from typing import Any

from assets.images.pipeline import REQUESTS
from tests.integration.images.task_world import Tasks

#: What differs from run to run of the same request.
_TIMES = ("request_file", "requested_at", "started_at", "finished_at", "seconds_of_work")


def left(tasks: Tasks) -> dict[str, Any]:
    """All that the task leaves: its objects by name, and its rows; without times.

    The one task of the test is called ``mine``.
    """
    objects: dict[str, Any] = {
        name: tasks.results.get(f"mine/{name}") for name in tasks.listed("mine")
    }
    result = json.loads(objects.pop("result.json"))
    rows = tasks.rows(
        """
        SELECT number, product_id, source_key, extension, status, detail, content, digest, width,
            height, bytes FROM images.image_task_item WHERE task_id = 'mine' ORDER BY number
        """
    )
    task = tasks.rows(
        "SELECT state, items, settled, problems, files, cancel_requested FROM images.image_task"
    )
    batches = tasks.rows("SELECT unit, state FROM landing.batch WHERE unit IS NOT NULL")
    predictions = tasks.rows("SELECT * FROM images.image_task_prediction ORDER BY number")
    return {
        "objects": objects,
        "result": {name: value for name, value in result.items() if name not in _TIMES},
        "rows": rows,
        "predictions": predictions,
        "task": task,
        "batches": batches,
        "counts": tasks.counts(REQUESTS),
    }


def undo(tasks: Tasks) -> None:
    """Leave nothing of the task or its request, as before it was asked for."""
    tasks.execute("DELETE FROM images.image_task")
    for name in tasks.listed("mine"):
        tasks.results.delete(f"mine/{name}")
    tasks.execute("DELETE FROM landing.object_version WHERE bucket LIKE 'image-requests%'")
    tasks.execute("DELETE FROM landing.batch WHERE unit IS NOT NULL")
