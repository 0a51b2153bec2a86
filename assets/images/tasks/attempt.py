"""One run's work on a task's images: what is lost is found, what waits is done, all is verified.

Belongs here: the order of these. Does not: Dagster, the work itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.images.tasks import items, ledger, results_listing
from assets.images.tasks.ledger import Task
from assets.sinks.result import Verification
from landing.batch.failures import TransientError

if TYPE_CHECKING:
    import psycopg

    from landing.stores.base import ObjectStore

#: Works on what waits of a task, on a connection in autocommit mode; False when it is not to go on.
Engine = Callable[["psycopg.Connection[Any]", Task], bool]


class TakenOverError(TransientError):
    """Another run has had to do with the task meanwhile."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a run did: items worked on, results removed, and what the bucket holds now."""

    worked: int
    removed: int
    seconds: float
    found: Verification


def attempt(
    connection: psycopg.Connection[Any],
    results: ObjectStore,
    task: Task,
    engine: Engine,
    log: logging.Logger,
) -> Attempt:
    """Work on what waits of a running task; another one is only looked at.

    Raises what the store and the workers do, TakenOverError, psycopg.Error.
    """
    started = time.monotonic()
    if task.state in ledger.DONE:
        found = results_listing.verify(connection, results, task.task_id)
        # A run that was killed between finding results lost and telling so left items waiting.
        if found.ok and not items.some_wait(connection, task.task_id):
            return Attempt(0, 0, time.monotonic() - started, found)
    lost, removed = results_listing.reconcile(connection, results, task.task_id)
    if lost:
        log.warning("%d results of %s are lost: they are made again", lost, task.task_id)
    if task.state in ledger.DONE:
        ledger.reopen(connection, task.task_id, 0)
    before = ledger.task(connection, task.task_id)
    if before.state == "running" and not engine(connection, before):
        if not ledger.is_cancelled(connection, task.task_id):
            raise TakenOverError(f"{task.task_id} was ended or replaced while it was worked on")
        ledger.cancelled(connection, task.task_id)
        log.info(
            "%s was cancelled; `make image-task TASK=%s RESUME=1` lets it go on",
            task.task_id,
            task.task_id,
        )
    worked = ledger.task(connection, task.task_id).settled - before.settled
    found = results_listing.verify(connection, results, task.task_id)
    return Attempt(worked, removed, time.monotonic() - started, found)
