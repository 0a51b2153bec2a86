"""One run's work on a task's images: what is lost is found, what waits is done, all is verified.

Belongs here: the order of these. Does not: Dagster, the work itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.images.processing.operation import Item, Limits, Outcome
from assets.images.tasks import ledger, results_listing
from assets.images.tasks.work import Process, niceness, work, workers
from assets.sinks.result import Verification

if TYPE_CHECKING:
    import psycopg

    from assets.images.settings import ImagesSettings
    from assets.images.tasks.ledger import Task
    from landing.stores.base import ObjectStore
    from resources.minio_client import Access

#: Has others work on a task's items; False when it is not to go on.
Elsewhere = Callable[["psycopg.Connection[Any]", "Task", logging.Logger], bool]


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
    *,
    settings: ImagesSettings,
    access: Access,
    log: logging.Logger,
    elsewhere: Elsewhere | None = None,
) -> Attempt:
    """Work on what waits of a running task; another one is only looked at.

    ``elsewhere`` works on a large one, where there are other machines. Raises what the store and
    the workers do, psycopg.Error.
    """
    started = time.monotonic()
    if task.state in ledger.DONE:
        found = results_listing.verify(connection, results, task.task_id)
        if found.ok:
            return Attempt(0, 0, time.monotonic() - started, found)
    lost, removed = results_listing.reconcile(connection, results, task.task_id)
    if lost:
        log.warning("%d results of %s are lost: they are made again", lost, task.task_id)
    if task.state in ledger.DONE:
        ledger.reopen(connection, task.task_id, 0)
    before = ledger.task(connection, task.task_id)
    goes_on = elsewhere if elsewhere and (before.items or 0) > settings.shard_from else None
    if before.state != "running":
        done = True
    elif goes_on:
        done = goes_on(connection, before, log)
    else:
        done = work(connection, before, local(before, settings, access), log=log)
    if not done and ledger.is_cancelled(connection, task.task_id):
        ledger.cancelled(connection, task.task_id)
        log.info("%s was cancelled; `make resume-task TASK=…` lets it go on", task.task_id)
    worked = ledger.task(connection, task.task_id).settled - before.settled
    found = results_listing.verify(connection, results, task.task_id)
    return Attempt(worked, removed, time.monotonic() - started, found)


def local(task: Task, settings: ImagesSettings, access: Access) -> Process:
    """Worker processes of this machine."""
    from assets.images.processing.engine import process

    operation = task.asked().work()
    limits = limits_of(settings)
    nice = niceness((task.items or 0) - task.settled)

    def run(items: Iterable[Item], stop: Callable[[], bool]) -> Iterator[Outcome]:
        return process(
            items,
            operation,
            limits,
            source=settings.products_bucket,
            target=settings.results_bucket,
            access=access,
            workers=workers(settings.workers),
            niceness=nice,
            stop=stop,
        )

    return run


def limits_of(settings: ImagesSettings) -> Limits:
    """What one image may take."""
    return Limits(settings.most_pixels, settings.most_bytes, float(settings.item_seconds))
