"""Processing any number of images on this machine.

Belongs here: what a task calls. Does not: its items and what is done with the outcomes
(``tasks/``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable

from assets.images.processing.messages import Setup
from assets.images.processing.operation import Item, Limits, Operation, Outcome
from assets.images.processing.pool import Pool
from resources.minio_client import Access

TRANSFORM = "assets.images.processing.transform:transform"
#: Seconds without an answer of the store after which a task ends, to go on in another run.
PATIENCE = 60.0


def process(
    items: Iterable[Item],
    operation: Operation,
    limits: Limits,
    *,
    source: str,
    target: str,
    access: Access,
    workers: int = 0,
    threads: int = 3,
    niceness: int = 0,
    patience: float = PATIENCE,
    stop: Callable[[], bool] | None = None,
    function: str = TRANSFORM,
) -> Generator[Outcome, None, None]:
    """Do the operation to each item: one outcome for each, in no order, as they come.

    Items are read from bucket ``source`` and written to bucket ``target``, by ``workers`` processes
    (0: one for each core) of ``threads`` threads. They are taken from the iterable as workers come
    free, at most 64 a worker ahead of the outcomes; their numbers are unique. ``stop`` is asked
    four times a second: once true, no more are taken, and the iterator ends after those in hand.
    ``function`` is the path, ``module:name``, of what works as ``transform.transform`` does.

    An image that ends a worker is ``crashed`` once it has done so alone, one that takes longer than
    ``limits.seconds`` of work (not of waiting for the store) is a ``timeout``. Raises
    landing.batch.failures.TransientError when the store has not answered for ``patience`` seconds,
    PermanentError when it refuses (credentials, no such bucket) or no worker starts; what the
    iterable raises. Items without an outcome may have been written by then; doing them again
    writes the same. Closing the iterator ends the workers, as the death of this process does.
    """
    setup = Setup(
        operation=operation,
        limits=limits,
        source=source,
        target=target,
        endpoint=access.endpoint,
        access_key=access.access_key,
        secret_key=access.secret_key,
        threads=threads,
        niceness=niceness,
        patience=patience,
        function=function,
    )
    return Pool(setup, workers or os.cpu_count() or 1).outcomes(items, stop)
