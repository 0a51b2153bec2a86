"""Working on items with processes of this machine.

Belongs here: from settings to the engine's arguments. Does not: the engine (``processing``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from assets.images.processing.operation import Item, Limits, Outcome
from assets.images.tasks.work import Process, niceness, workers

if TYPE_CHECKING:
    from assets.images.settings import ImagesSettings
    from assets.images.tasks.ledger import Task
    from resources.minio_client import Access


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
