"""Pub/Sub: ``local/pubsub_server.py``, with the topics and subscriptions that reading expects.

Belongs here: the server's declaration, what is in it from the start. Does not: any message.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping

from local.service import HOST, PROJECT, REPOSITORY, Command, Place, Service, answers_http

_FLOWS = ("READING_INTERACTION", "READING_META")
#: Names by variable, without the project.
NAMES: dict[str, str] = {
    "READING_INTERACTION_TOPIC": "user-interaction",
    "READING_INTERACTION_SUBSCRIPTION": "user-interaction-quintet",
    "READING_INTERACTION_DEAD_TOPIC": "user-interaction-dead",
    "READING_META_TOPIC": "content-meta",
    "READING_META_SUBSCRIPTION": "content-meta-quintet",
    "READING_META_DEAD_TOPIC": "content-meta-dead",
}
#: Seconds, and deliveries: ours gives a message up long before Pub/Sub does.
_ACK_DEADLINE = 60
_MAX_DELIVERY_ATTEMPTS = 100
_RETENTION = 7 * 24 * 3600
_TIMEOUT = 20.0


def kept_subscription(dead_topic: str) -> str:
    """Name of the subscription that keeps what is published to ``dead_topic``."""
    return f"{dead_topic}-kept"


def counts_url(place: Place) -> str:
    """Where the server's counts are; `local.pubsub.admin` says what there is beside them."""
    return f"http://{HOST}:{place.ports['pubsub.http']}/counts"


def _command(place: Place) -> Command:
    return Command(
        [
            # The application's interpreter: the servers' environment has no google-cloud-pubsub.
            sys.executable,
            "-P",
            "-m",
            "local.pubsub_server",
            str(place.ports["pubsub"]),
            str(place.ports["pubsub.http"]),
            str(place.data("pubsub")),
        ],
        environment={"PYTHONPATH": str(REPOSITORY)},
        directory=place.root,
    )


def _prepare(place: Place) -> None:
    place.data("pubsub").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    # HTTP starts last.
    return answers_http(f"http://{HOST}:{place.ports['pubsub.http']}/health", contains="ok")


def create(host: str, project: str, names: Mapping[str, str]) -> None:
    """Create the topics and subscriptions that ``names`` (as `NAMES`) has; leave what is there.

    ``host`` is any emulator's host:port. A dead-letter topic gets a subscription, or what is
    published to it would be gone. Raises google.api_core.exceptions errors.
    """
    from google.api_core.exceptions import AlreadyExists

    from resources.pubsub import PubSubResource  # with Dagster: not for every command

    pubsub = PubSubResource(project=project, emulator_host=host)
    with pubsub.publisher() as publisher, pubsub.subscriber() as subscriber:

        def add(subscription: str, topic: str, **more: object) -> str:
            path = pubsub.topic_path(topic)
            with contextlib.suppress(AlreadyExists):
                publisher.create_topic(name=path, timeout=_TIMEOUT)
            declared = {
                "name": pubsub.subscription_path(subscription),
                "topic": path,
                "ack_deadline_seconds": _ACK_DEADLINE,
                "message_retention_duration": {"seconds": _RETENTION},
                **more,
            }
            with contextlib.suppress(AlreadyExists):
                subscriber.create_subscription(request=declared, timeout=_TIMEOUT)
            return path

        for flow in _FLOWS:
            dead_topic = names[f"{flow}_DEAD_TOPIC"]
            policy = {
                "dead_letter_topic": add(kept_subscription(dead_topic), dead_topic),
                "max_delivery_attempts": _MAX_DELIVERY_ATTEMPTS,
            }
            add(names[f"{flow}_SUBSCRIPTION"], names[f"{flow}_TOPIC"], dead_letter_policy=policy)


def remove(host: str, project: str, names: Mapping[str, str]) -> None:
    """Delete what `create` created, whether it is there or not.

    Raises google.api_core.exceptions errors.
    """
    from google.api_core.exceptions import NotFound

    from resources.pubsub import PubSubResource

    pubsub = PubSubResource(project=project, emulator_host=host)
    with pubsub.publisher() as publisher, pubsub.subscriber() as subscriber:
        for flow in _FLOWS:
            dead_topic = names[f"{flow}_DEAD_TOPIC"]
            for name in (names[f"{flow}_SUBSCRIPTION"], kept_subscription(dead_topic)):
                path = pubsub.subscription_path(name)
                with contextlib.suppress(NotFound):
                    subscriber.delete_subscription(subscription=path, timeout=_TIMEOUT)
            for name in (names[f"{flow}_TOPIC"], dead_topic):
                with contextlib.suppress(NotFound):
                    publisher.delete_topic(topic=pubsub.topic_path(name), timeout=_TIMEOUT)


def _populate(place: Place) -> None:
    create(f"{HOST}:{place.ports['pubsub']}", PROJECT, NAMES)


def _variables(place: Place) -> dict[str, str]:
    return {
        "PUBSUB_EMULATOR_HOST": f"{HOST}:{place.ports['pubsub']}",
        "PUBSUB_COUNTS_URL": counts_url(place),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        **NAMES,
        # No quota of DML statements here: every micro-batch is merged at once.
        "READING_MERGE_MILLISECONDS": "0",
    }


SERVICE = Service(
    name="pubsub",
    systems=("Pub/Sub",),
    ports=("pubsub", "pubsub.http"),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    populate=_populate,
    variables=_variables,
)
