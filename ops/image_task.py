"""``make image-task``: how image tasks get on, and an operator's word to one.

Belongs here: that, for a person. Does not: what is known of tasks (``assets.images.answers``).
"""

from __future__ import annotations

import sys

from assets.images import answers
from assets.images.answers import TaskStatus, UnknownTaskError
from ops.environment import require
from resources.postgres import PostgresResource


def run(task_id: str | None, *, cancel: bool = False, resume: bool = False) -> int:
    """Print the task, or the latest ones; the exit code."""
    with PostgresResource(url=require("POSTGRES_URL")).connect() as connection:
        if task_id is None:
            for one in answers.tasks(connection):
                print(line(one))
            return 0
        try:
            if cancel:
                return _said(
                    answers.cancel(connection, task_id),
                    f"{task_id} ends within seconds, where it is. `make image-task TASK={task_id} "
                    "RESUME=1` lets it go on.",
                    f"{task_id} has ended already.",
                )
            if resume:
                return _said(
                    answers.resume(connection, task_id),
                    f"{task_id} may go on. With a daemon running:\n"
                    f"  dagster job backfill --job images --partitions {task_id} --noprompt",
                    f"{task_id} is not cancelled.",
                )
            found = answers.task(connection, task_id)
        except UnknownTaskError as error:
            print(error, file=sys.stderr)
            return 1
    print(line(found))
    for status, count in found.counts.items():
        print(f"  {status:<12} {count:>10,}")
    for problem in found.problems:
        print(f"  {problem}")
    return 0


def line(found: TaskStatus) -> str:
    """A task in one line."""
    told = f"{found.task_id}  {found.state}"
    if found.items is not None:
        told += f"  {found.settled:,} of {found.items:,} items"
    if found.left_seconds is not None:
        told += f", about {found.left_seconds:.0f} s left"
    return told


def _said(done: bool, yes: str, no: str) -> int:
    print(yes if done else no, file=sys.stdout if done else sys.stderr)
    return 0 if done else 1
