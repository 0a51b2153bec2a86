"""The Celery app: the queue of shards on RabbitMQ, as its workers and its senders see it.

Belongs here: how messages travel. Does not: which are sent (``sending.py``). A worker of its own:

    celery -A assets.images.scaleout.celery_app worker -Q images -c 1

Imported lazily: needs celery.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from amqp.exceptions import AccessRefused, AMQPError, NotAllowed, PreconditionFailed
from celery import Celery, signals  # noqa: TID253
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from assets.images.scaleout.sending import (
    RESEND,
    BrokerAwayError,
    BrokerRefusesError,
    NoBrokerError,
)

if TYPE_CHECKING:
    from assets.images.scaleout.sending import Send

log = logging.getLogger(__name__)

#: The broker's address, with its password: amqp://USER:…@HOST:PORT//
BROKER_VARIABLE = "IMAGES_BROKER_URL"
QUEUE = "images"
SHARD_TASK = "images.shard"
_MOST_PRIORITY = 9
#: Seconds to connect, until the broker has a message, and between two signs of a worker's life.
_CONNECT, _CONFIRM, _HEARTBEAT = 5, 10, 10
#: Seconds that a worker's child may take to start; the default of 4 is too few for a busy machine.
_CHILD_STARTS = 60.0


def make_app(broker_url: str) -> Celery:
    """An app on this broker; nothing connects before it is used."""
    made = Celery("quintet", broker=broker_url)
    queue: Any = Queue
    made.conf.update(
        # A shard is done when its items say so. What a dead worker had is delivered again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_queues=[queue(QUEUE, queue_arguments={"x-max-priority": _MOST_PRIORITY})],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT,
        broker_heartbeat=_HEARTBEAT,
        worker_proc_alive_timeout=_CHILD_STARTS,
        # A message counts as sent once the broker has it.
        broker_transport_options={"confirm_publish": True},
    )
    return made


app = make_app(os.environ.get(BROKER_VARIABLE, ""))


@app.task(name=SHARD_TASK)  # type: ignore[untyped-decorator]
def shard(task_id: str, number: int) -> str:
    """Work on one shard; what came of its turn."""
    from assets.images.scaleout.worker import take_turn

    return take_turn(task_id, number)


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _prepare(**_: Any) -> None:
    """Say what is wrong before anything starts; import what every child would import itself."""
    from assets.images.scaleout import worker

    if not os.environ.get(BROKER_VARIABLE):
        raise SystemExit(f"{BROKER_VARIABLE} is not set: amqp://USER:…@HOST:PORT//")
    worker.prepare()


@signals.after_setup_logger.connect  # type: ignore[untyped-decorator]
def _tell(**_: Any) -> None:
    """How shards get on is told, whatever the level of Celery's own lines."""
    logging.getLogger("assets").setLevel(logging.INFO)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]
def _ready(**_: Any) -> None:
    log.info("ready: shards are taken from the queue %s", QUEUE)


def sender() -> Send:
    """Sends shards by the broker that the variable names. Raises NoBrokerError."""
    url = os.environ.get(BROKER_VARIABLE, "")
    if not url:
        raise NoBrokerError(f"{BROKER_VARIABLE} is not set: IMAGES_ENGINE=celery needs it")
    sending: Any = make_app(url)

    def send(task_id: str, number: int, priority: int) -> None:
        try:
            # One of its own: a shard is many seconds of work, and a connection that is kept breaks
            # between two of them.
            with sending.connection_for_write() as connection:
                connection.connect()  # once: what connects at need tries for ever
                sending.send_task(
                    SHARD_TASK,
                    (task_id, number),
                    connection=connection,
                    queue=QUEUE,
                    priority=priority,
                    expiration=RESEND,
                    confirm_timeout=_CONFIRM,
                    retry=False,
                )
        except (OperationalError, AMQPError, OSError) as error:
            cause = error.__cause__ or error
            said = f"{type(cause).__name__}: {cause}"
            if isinstance(cause, (AccessRefused, NotAllowed, PreconditionFailed)):
                raise BrokerRefusesError(said) from error
            raise BrokerAwayError(said) from error

    return send
