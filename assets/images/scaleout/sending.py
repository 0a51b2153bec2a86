"""Sending a task's shards to workers until all are done, whatever the broker loses.

Belongs here: which shards to send, and watching over them. Does not: the broker's client
(``celery_app.py``), what a worker does (``worker.py``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assets.images.scaleout import shards
from assets.images.scaleout.shards import Shard
from assets.images.tasks import ledger
from landing.batch.failures import TransientError

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task

    Connection = psycopg.Connection[Any]

#: Shards of one task that are sent and not done: other tasks' are served between them.
WINDOW = 4
#: Seconds after which a shard that was sent, and that nobody holds, is sent again.
RESEND = 20.0
#: Seconds between two looks, and between two lines of the log.
LOOK, TELL = 0.5, 5.0
#: A shard whose workers failed so often in a row ends the attempt.
MOST_FAILURES = 3
#: Seconds without a broker after which the attempt ends.
PATIENCE = 600.0

#: The queue's priorities: few shards go before many.
_PRIORITIES = ((2, 9), (20, 5))

#: Sends a shard with a priority; raises BrokerAwayError.
Send = Callable[[str, int, int], None]


class BrokerAwayError(TransientError):
    """The broker takes no message."""


class ShardFailedError(TransientError):
    """Worker after worker failed at a shard."""


def priority(count: int) -> int:
    """That of a task of so many shards, 1 to 9: the higher goes first."""
    return next((rank for most, rank in _PRIORITIES if count <= most), 1)


def to_send(
    waiting: Sequence[int], held: Collection[int], sent: Mapping[int, float], now: float
) -> list[int]:
    """Which shards to send, in order. Pure.

    ``sent`` has when each was sent last. What is held or was sent lately counts as under way, of
    which there are WINDOW at most.
    """
    under_way = {n for n in waiting if n in held or now - sent.get(n, -RESEND) < RESEND}
    return [n for n in waiting if n not in under_way][: max(WINDOW - len(under_way), 0)]


def oversee(connection: Connection, task: Task, send: Send, log: logging.Logger) -> bool:
    """Have all shards of a task done; False when an operator cancelled it.

    ``connection`` is in autocommit mode. Raises ShardFailedError, BrokerAwayError (after PATIENCE),
    psycopg.Error. What was done is done: the next attempt goes on.
    """
    sent: dict[int, float] = {}
    heard = told = time.monotonic()
    while True:
        waiting = shards.waiting(connection, task.task_id)
        if not waiting:
            return True
        if ledger.is_cancelled(connection, task.task_id):
            # Workers see that, too, and let go of their shards within seconds.
            if not shards.being_worked_on(connection, task.task_id):
                return False
        else:
            _require_progress(waiting)
            heard = _send(connection, task, waiting, sent, send, log, heard)
        if time.monotonic() - told >= TELL:
            told = time.monotonic()
            now = ledger.task(connection, task.task_id)
            log.info("%s: %d of %s items, %d shards left", task.task_id, now.settled, now.items,
                     len(waiting))  # fmt: skip
        time.sleep(LOOK)


def _send(  # noqa: PLR0917 - of this module only
    connection: Connection,
    task: Task,
    waiting: Sequence[Shard],
    sent: dict[int, float],
    send: Send,
    log: logging.Logger,
    heard: float,
) -> float:
    """Send what is to be sent; when the broker was last heard of."""
    held = shards.being_worked_on(connection, task.task_id)
    numbers = [one.number for one in waiting]
    now = time.monotonic()
    if held:
        heard = now
    for number in to_send(numbers, held, sent, now):
        try:
            send(task.task_id, number, priority(len(numbers)))
        except BrokerAwayError as error:
            log.warning("%s: shard %d was not sent: %s", task.task_id, number, error)
            if now - heard > PATIENCE:
                raise
            break
        if number in sent:
            log.warning("%s: nobody holds shard %d, it is sent again", task.task_id, number)
        sent[number] = heard = time.monotonic()
    return heard


def _require_progress(waiting: Sequence[Shard]) -> None:
    for one in waiting:
        if one.failures >= MOST_FAILURES:
            raise ShardFailedError(
                f"{one.failures} workers failed at shard {one.number}: {one.error}"
            )
