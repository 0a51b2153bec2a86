"""``result.json``: what a client reads to learn how its request ended.

Belongs here: its contents. Does not: writing it, metadata of images (``metadata_files.py``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assets.images.requests.reasons import remedy

if TYPE_CHECKING:
    from assets.images.processing.operation import Status
    from assets.images.tasks.ledger import Task

RESULT = "result.json"


def refusal(task_id: str, source: str, code: str, problems: Sequence[str]) -> bytes:
    """The result of a request that can't be done: all that is wrong with it, and what to do."""
    return _text(
        {
            "task": task_id,
            "state": "failed",
            "request_file": source,
            "reason": code,
            "problems": list(problems),
            "remedy": remedy(code),
        }
    )


def result(task: Task, counts: Mapping[Status, int]) -> bytes:
    """The result of a task: the same bytes whenever it is written."""
    work = task.asked().work()
    return _text(
        {
            "task": task.task_id,
            "state": task.state,
            **({"problems": task.problems} if task.problems else {}),
            "request_file": task.source,
            "request": task.request,
            "operation": asdict(work) if work.kind == "transform" else {"kind": "copy"},
            "requested": task.items,
            "counts": dict(counts),
            "requested_at": task.requested_at.isoformat(),
            "started_at": task.started_at.isoformat() if task.started_at else None,
            "finished_at": task.finished_at.isoformat() if task.finished_at else None,
            "seconds_of_work": round(task.seconds, 3),
            "files": task.files or {},
        }
    )


def _text(told: Mapping[str, Any]) -> bytes:
    text = json.dumps(told, indent=2, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")
