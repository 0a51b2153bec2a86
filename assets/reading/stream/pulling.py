"""A subscription's messages on their way into an inbox, by the official subscriber.

Belongs here: flow control, leases, opening the stream again, acknowledging. Does not: what is done
with messages. Imported lazily: needs google.cloud.pubsub_v1.

What was not acknowledged counts against the flow control, so that a session that cannot write stops
pulling by itself; the subscriber extends the leases of what it has. A lease is short: it is what a
killed session's messages wait for.

The subscriber hands out one message of an ordering key at a time, and the next once that is done
with: a MERGE for each. Facts have no order, so that the next is asked for as soon as one is
gathered; what is delivered again after a failure is found by the MERGE, in whatever order.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.api_core.exceptions import GoogleAPIError  # noqa: TID253
from google.cloud.pubsub_v1.subscriber.scheduler import Scheduler  # noqa: TID253
from google.cloud.pubsub_v1.types import FlowControl  # noqa: TID253

from assets.reading.stream.micro_batch import Delivery, Inbox
from landing.batch.failures import classify
from resources.pubsub import few_attempts

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient

# It warns of keys that are free already, once for each message.
logging.getLogger("google.cloud.pubsub_v1.subscriber._protocol.messages_on_hold").setLevel(
    logging.ERROR
)

#: Seconds of one acknowledgement, and deliveries in it: Pub/Sub takes 512 KB of names.
ACK_TIMEOUT = 20.0
ACK_IDS = 1_000
#: Seconds for which the stream may fail for good, as it seems, before that is believed: a
#: subscription that is being made again, a right that is being given.
GRACE_SECONDS = 15.0
#: Seconds between two attempts to open the stream.
REOPEN_SECONDS = 1.0
#: Seconds that closing may take, in which what is left is given back.
CLOSE_SECONDS = 20.0


class Pulling:
    """Pulls one subscription (its full name) into ``inbox`` until ``close``.

    ``given_back`` is told how many deliveries were released whenever a stream ends.
    """

    def __init__(
        self,
        client: SubscriberClient,
        subscription: str,
        inbox: Inbox,
        *,
        max_messages: int,
        max_bytes: int,
        lease_seconds: int,
        given_back: Callable[[int], None],
        log: logging.Logger,
    ) -> None:
        self._client = client
        self._subscription = subscription
        self._inbox = inbox
        self._flow = FlowControl(
            max_messages=max_messages,
            max_bytes=max_bytes,
            # An outage may last: a lease that is let go would only bring the message again.
            max_lease_duration=24 * 3600,
            min_duration_per_lease_extension=lease_seconds,
            max_duration_per_lease_extension=lease_seconds,
        )
        self._given_back = given_back
        self._log = log
        self._failing_since: float | None = None
        self._opened_at = 0.0
        inbox.next_of_key = self._let_next_come
        self._stream: Any = None

    def open(self) -> None:
        """Start pulling."""
        self._opened_at = time.monotonic()
        self._stream = self._client.subscribe(
            self._subscription,
            callback=self._inbox.put,
            flow_control=self._flow,
            scheduler=_IntoInbox(self._inbox, self._given_back),
        )

    def look(self) -> None:
        """Open the stream again when it has ended; to be called every second or so.

        Raises what ended it when nothing but failures of that sort came for GRACE_SECONDS.
        """
        now = time.monotonic()
        if not self._stream.done():
            if now - self._opened_at > GRACE_SECONDS:
                self._failing_since = None
            return
        if now - self._opened_at < REOPEN_SECONDS:
            return
        error = self._stream.exception()
        self._failing_since = self._failing_since or now
        if classify(error) == "permanent" and now - self._failing_since > GRACE_SECONDS:
            raise error
        self._log.warning("stream_reopened subscription=%s error=%s", self._subscription, error)
        self.open()

    def acknowledge(self, deliveries: list[Delivery]) -> None:
        """Tell Pub/Sub that these are done with, and make room for others; they are taken out.

        Raises google.api_core.exceptions errors while Pub/Sub is away: those that are left can be
        acknowledged later. One that is refused for good brings its message again, which does no
        harm.
        """
        while part := deliveries[:ACK_IDS]:
            try:
                self._client.acknowledge(
                    subscription=self._subscription,
                    ack_ids=[delivery.ack_id for delivery in part],
                    retry=few_attempts(),
                    timeout=ACK_TIMEOUT,
                )
            except GoogleAPIError as error:
                if classify(error) != "permanent":
                    raise
                self._log.warning(
                    "not_acknowledged subscription=%s deliveries=%d error=%s",
                    self._subscription,
                    len(part),
                    error,
                )
            for delivery in part:
                delivery.drop()
            del deliveries[: len(part)]

    def _let_next_come(self, ordering_key: str) -> None:
        # There is no public way; the version is pinned, and a test holds it. The message keeps its
        # lease and counts against the flow control, other than with drop().
        manager = getattr(self._stream, "_StreamingPullFuture__manager", None)
        if manager is not None:
            manager.activate_ordering_keys([ordering_key])

    def close(self) -> None:
        """Stop pulling; what is left in the inbox is given back."""
        if self._stream is None:
            return
        self._stream.cancel()
        try:
            self._stream.result(timeout=CLOSE_SECONDS)
        except Exception as error:  # noqa: BLE001  the stream is over, whatever ended it
            self._log.warning("stream_ended subscription=%s error=%s", self._subscription, error)


class _IntoInbox(Scheduler):  # type: ignore[misc]  # google's classes have no types here
    """Calls back at once, in the subscriber's thread: all that is done there is to queue."""

    def __init__(self, inbox: Inbox, given_back: Callable[[int], None]) -> None:
        self._inbox = inbox
        self._given_back = given_back
        self._queue: queue.Queue[Any] = queue.Queue()

    @property
    def queue(self) -> queue.Queue[Any]:
        """Requests to the subscriber: drop, nack."""
        return self._queue

    def schedule(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call back now."""
        callback(*args, **kwargs)

    def shutdown(self, await_msg_callbacks: bool = False) -> list[Any]:  # noqa: ARG002
        """What nobody has begun: the subscriber gives it back, once it has stopped pulling."""
        left = self._inbox.left()
        self._given_back(len(left))
        return left
