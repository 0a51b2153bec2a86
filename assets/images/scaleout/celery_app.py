"""The Celery app: the queue of shards on RabbitMQ, as its workers and its senders see it.

Belongs here: how messages travel. Does not: which are sent (``sending.py``). A worker of its own:

    celery -A assets.images.scaleout.celery_app worker -Q images -c 1

Imported lazily: needs celery.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from celery import Celery  # noqa: TID253
from kombu.entity import Queue
from kombu.exceptions import OperationalError

from assets.images.scaleout.sending import BrokerAwayError
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    from assets.images.scaleout.sending import Send

#: The broker's address, with its password: amqp://user:password@host:port//
BROKER_VARIABLE = "IMAGES_BROKER_URL"
QUEUE = "images"
SHARD_TASK = "images.shard"
_MOST_PRIORITY = 9
#: Seconds to connect, and between two signs of life.
_CONNECT, _HEARTBEAT = 5, 10


class NoBrokerError(PermanentError):
    """Nothing says where the broker is."""


def _queue() -> Any:
    make: Any = Queue
    return make(QUEUE, queue_arguments={"x-max-priority": _MOST_PRIORITY})


def make_app(broker_url: str) -> Celery:
    """An app on this broker; nothing connects before it is used."""
    made = Celery("quintet", broker=broker_url)
    made.conf.update(
        # A shard is done when its rows say so. What a dead worker had is delivered again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_prefetch_multiplier=1,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        task_queues=[_queue()],
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT,
        broker_heartbeat=_HEARTBEAT,
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


def sender() -> Send:
    """Sends shards by the broker that the variable names. Raises NoBrokerError."""
    url = os.environ.get(BROKER_VARIABLE, "")
    if not url:
        raise NoBrokerError(f"{BROKER_VARIABLE} is not set: IMAGES_ENGINE=celery needs it")
    sending: Any = make_app(url)

    def send(task_id: str, number: int, priority: int) -> None:
        try:
            sending.send_task(
                SHARD_TASK, (task_id, number), queue=QUEUE, priority=priority, retry=False
            )
        except (OperationalError, OSError) as error:
            raise BrokerAwayError(f"{type(error).__name__}: {error}") from error

    return send
