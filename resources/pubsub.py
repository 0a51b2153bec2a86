"""Pub/Sub, through google-cloud-pubsub.

Belongs here: how to connect, full names. Does not: which topics there are, how messages are read
(``assets/reading``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
    from google.cloud.pubsub_v1.types import BatchSettings

#: Seconds of one request; the client's own retries go on for up to ten minutes without it.
TIMEOUT = 20.0
#: Seconds for which a client goes on trying where its caller has attempts of its own, between which
#: that can be told to stop: not 60 (acknowledging) or 600 (publishing).
RETRY_SECONDS = 20.0

#: A client made for an emulator connects as the real one does (google.pubsub_v1's transports), only
#: without TLS: messages of any size, a ping when a connection is silent for 30 s. An emulator that
#: was restarted is found again within 1 s, which could take 2 minutes.
_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 4 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
#: cloud.google.com/pubsub/docs/pubsub-basics#resource_names
_NAME = re.compile(r"(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}")


class PubSubResource(dg.ConfigurableResource[Any]):
    """One project. An empty ``emulator_host`` (host:port) means Google's own."""

    project: str
    emulator_host: str = ""

    def publisher(
        self, *, batch: BatchSettings | None = None, ordering: bool = False
    ) -> PublisherClient:
        """A new client; use it as a context manager once every future of ``publish`` is done.

        ``batch`` says when it sends (its default: 100 messages, 1 MB or 10 ms), ``ordering`` allows
        ordering keys. Raises google.auth.exceptions errors.
        """
        from google.cloud.pubsub_v1 import PublisherClient
        from google.cloud.pubsub_v1.types import PublisherOptions
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        options = PublisherOptions(enable_message_ordering=ordering)
        if not self.emulator_host:
            return PublisherClient(batch or (), options)
        return PublisherClient(
            batch or (), options, transport=PublisherGrpcTransport(channel=self._channel())
        )

    def subscriber(self) -> SubscriberClient:
        """A new client; use it as a context manager. Raises google.auth.exceptions errors."""
        from google.cloud.pubsub_v1 import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        if not self.emulator_host:
            return SubscriberClient()
        return SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channel()))

    def topic_path(self, name: str) -> str:
        """Full name of topic ``name``. Raises ValueError for a name that Pub/Sub does not allow."""
        return f"projects/{self.project}/topics/{_checked(name)}"

    def subscription_path(self, name: str) -> str:
        """Full name of subscription ``name``. Raises ValueError as `topic_path` does."""
        return f"projects/{self.project}/subscriptions/{_checked(name)}"

    def check(self) -> str:
        """What is reachable, in one line. Raises google.api_core.exceptions errors."""
        with self.publisher() as client:
            pages = client.list_topics(
                project=f"projects/{self.project}", timeout=TIMEOUT, retry=None
            ).pages
            count = len(next(iter(pages)).topics)
        return f"Pub/Sub project {self.project} at {self.emulator_host or 'Google'}, {count} topics"

    def _channel(self) -> Any:
        import grpc

        return grpc.insecure_channel(self.emulator_host, options=_CHANNEL)


def few_attempts() -> Any:
    """The client's own attempts at one request; ``retry`` of its methods.

    They end with what the request was refused with, or with google.api_core's RetryError.
    """
    from google.api_core import exceptions
    from google.api_core.retry import Retry, if_exception_type

    passing = if_exception_type(exceptions.Aborted, exceptions.ServiceUnavailable)
    return Retry(passing, initial=0.1, maximum=2.0, timeout=RETRY_SECONDS)


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a name of a Pub/Sub topic or subscription: {name!r}")
    return name
