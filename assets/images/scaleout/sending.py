"""Sending a task's shards to workers until all are done, whatever the broker loses.

Belongs here: which shards to send, and watching over them. Does not: the broker's client
(``celery_app.py``), what a worker does (``worker.py``).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assets.images.scaleout import shards
from assets.images.scaleout.shards import Shard
from assets.images.tasks import ledger
from assets.images.tasks.work import Progress
from landing.batch.failures import PermanentError, TransientError

if TYPE_CHECKING:
    import psycopg

    from assets.images.tasks.ledger import Task

    Connection = psycopg.Connection[Any]

#: Seconds after which a shard that was sent, and that nobody holds, is sent again. The broker
#: forgets it then: however long no worker comes, the queue has each shard once.
RESEND = 20.0
#: Seconds between two looks, and between two lines of the log.
LOOK, TELL = 0.5, 5.0
#: A shard whose workers failed so often in a row ends the attempt.
MOST_FAILURES = 3
#: Seconds of a turn after which its worker must have stopped without an end, as one on a machine
#: that was suspended: it holds its shard and does nothing. Workers end their own turns before.
LONGEST_TURN = 1_800.0
#: Seconds without a broker after which the attempt ends.
PATIENCE = 600.0

#: The queue's priorities: few shards go before many.
_PRIORITIES = ((2, 9), (20, 5))

#: Sends a shard with a priority; raises BrokerAwayError.
Send = Callable[[str, int, int], None]


class NoBrokerError(PermanentError):
    """Nothing says where the broker is."""


class BrokerRefusesError(PermanentError):
    """The broker is there and will not: credentials, or a queue that is declared otherwise."""


class BrokerAwayError(TransientError):
    """The broker takes no message."""


class ShardFailedError(TransientError):
    """Worker after worker failed at a shard."""


def priority(count: int) -> int:
    """That of a task of so many shards, 1 to 9: the higher goes first."""
    return next((rank for most, rank in _PRIORITIES if count <= most), 1)


def to_send(
    waiting: Sequence[int],
    held: Collection[int],
    sent: Mapping[int, float],
    now: float,
    window: int,
) -> list[int]:
    """Which shards to send, in order. Pure.

    ``sent`` has when each was sent last. What is held or was sent lately counts as under way, of
    which there are ``window`` at most.
    """
    under_way = {n for n in waiting if n in held or now - sent.get(n, -RESEND) < RESEND}
    return [n for n in waiting if n not in under_way][: max(window - len(under_way), 0)]


def turns_of(
    held: Mapping[int, int], since: Mapping[tuple[int, int], float], now: float
) -> dict[tuple[int, int], float]:
    """Since when each shard is held by the same session, of those that are held now. Pure."""
    return {turn: since.get(turn, now) for turn in held.items()}


def oversee(
    connection: Connection,
    task: Task,
    send: Send,
    log: logging.Logger,
    *,
    shard_items: int,
    window: int,
) -> bool:
    """Have all shards of a task done; False when it is not to go on, such as a cancelled one.

    ``connection`` is in autocommit mode. At most ``window`` shards are under way, so that other
    tasks' are served between them. Raises ShardFailedError, BrokerAwayError (after PATIENCE),
    BrokerRefusesError, psycopg.Error. What was done is done: the next attempt goes on.
    """
    shards.cut(connection, task.task_id, task.items or 0, shard_items)
    progress = Progress(task.items or 0, task.settled)
    sending = _Sending(connection, task.task_id, send, log, window)
    turns = dict[tuple[int, int], float]()
    told = time.monotonic()
    while waiting := shards.waiting(connection, task.task_id):
        held = shards.being_worked_on(connection, task.task_id)
        if ledger.goes_on(connection, task):
            _require_success(waiting, held)
            sending.send([one.number for one in waiting], held)
        elif not held:
            return False
        # Else workers see that, too, and let go of their shards within seconds.
        now = time.monotonic()
        turns = turns_of(held, turns, now)
        if late := {turn for turn, since in turns.items() if now - since > LONGEST_TURN}:
            log.warning("%s: shards %s are held by workers that do nothing: freed", task.task_id,
                        sorted(number for number, _ in late))  # fmt: skip
            shards.end_sessions(connection, {session for _, session in late})
        if now - told >= TELL:
            told = now
            progress.done = ledger.task(connection, task.task_id).settled - task.settled
            log.info("%s; %d shards to do, %d in hand", progress.line(), len(waiting), len(held))
        time.sleep(LOOK)
    return True


@dataclass(slots=True)
class _Sending:
    """What was sent when, and since when there is no broker."""

    connection: Connection
    task_id: str
    to_worker: Send
    log: logging.Logger
    window: int
    sent: dict[int, float] = field(default_factory=dict)
    away_since: float | None = None

    def send(self, waiting: Sequence[int], held: Collection[int]) -> None:
        """Send what is to be sent. Raises BrokerAwayError after PATIENCE, BrokerRefusesError."""
        now = time.monotonic()
        for number in to_send(waiting, held, self.sent, now, self.window):
            try:
                self.to_worker(self.task_id, number, priority(len(waiting)))
            except BrokerAwayError as error:
                self._away(number, error, working=bool(held))
                return
            if self.away_since is not None:
                self.log.info("%s: the broker is back", self.task_id)
            elif number in self.sent:
                self.log.info("%s: nobody holds shard %d, sent again", self.task_id, number)
            self.away_since = None
            self.sent[number] = time.monotonic()

    def _away(self, number: int, error: BrokerAwayError, *, working: bool) -> None:
        now = time.monotonic()
        if self.away_since is None:
            self.log.warning("%s: shard %d was not sent: %s", self.task_id, number, error)
        if self.away_since is None or working:
            self.away_since = now
        if now - self.away_since > PATIENCE:
            raise error


def _require_success(waiting: Sequence[Shard], held: Collection[int]) -> None:
    for one in waiting:
        if one.failures >= MOST_FAILURES and one.number not in held:
            raise ShardFailedError(
                f"{one.failures} workers failed at shard {one.number}: {one.error}"
            )
