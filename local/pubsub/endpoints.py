"""Google's gRPC services google.pubsub.v1.Publisher and .Subscriber over a broker.

Belongs here: methods, streams, waiting. Does not: what calls do (`local.pubsub.broker`).

Everything runs in one event loop. A publish is answered once it is committed; acknowledgements are
committed within a moment, and a kill in between delivers those messages again, as Pub/Sub may at
any time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc

from local.pubsub import rules, wire
from local.pubsub.backlog import Consumer
from local.pubsub.broker import BATCH_MESSAGES, Broker, Queue
from local.pubsub.commits import Commits
from local.pubsub.rules import Refused

#: Seconds: between looks for ended leases, that a pull waits for messages (and how long before its
#: deadline it ends), between looks for messages past their retention.
_TICK = 0.1
_PULL_WAIT = 30.0
_PULL_MARGIN = 0.5
_FORGET_EVERY = 10.0
_GONE = "The service was unable to fulfill your request. Please try again."

_Method = Callable[[Any, Any], Awaitable[Any]]


class Endpoints:
    """The methods of both services."""

    def __init__(self, broker: Broker, commits: Commits) -> None:
        self._broker = broker
        self._commits = commits
        self._closing = False
        self._streams: set[_Stream] = set()

    async def keep_time(self) -> None:
        """End leases and forget old messages, forever."""
        loop = asyncio.get_running_loop()
        forget_at = 0.0
        while True:
            self._broker.tick()
            if loop.time() >= forget_at:
                self._broker.forget()
                forget_at = loop.time() + _FORGET_EVERY
            self._commits.soon()
            await asyncio.sleep(_TICK)

    def break_streams(self, queue: Queue | None = None) -> None:
        """End the streams and pulls of ``queue``, or all, as UNAVAILABLE: clients come again."""
        for stream in self._streams:
            if queue is None or stream.queue is queue:
                stream.broken = True
                stream.consumer.wake()

    def close(self) -> None:
        """Answer every new call and all that wait as UNAVAILABLE."""
        self._closing = True
        self.break_streams()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """For a server of grpc.aio."""
        publisher = {
            "CreateTopic": (wire.Topic, wire.Topic, self._create_topic),
            "GetTopic": (wire.GetTopicRequest, wire.Topic, self._get_topic),
            "UpdateTopic": (wire.UpdateTopicRequest, wire.Topic, self._update_topic),
            "DeleteTopic": (wire.DeleteTopicRequest, wire.Empty, self._delete_topic),
            "ListTopics": (wire.ListTopicsRequest, wire.ListTopicsResponse, self._list_topics),
            "ListTopicSubscriptions": (
                wire.ListTopicSubscriptionsRequest,
                wire.ListTopicSubscriptionsResponse,
                self._list_topic_subscriptions,
            ),
            "Publish": (wire.PublishRequest, wire.PublishResponse, self._publish),
        }
        subscriber = {
            "CreateSubscription": (wire.Subscription, wire.Subscription, self._create_subscription),
            "GetSubscription": (wire.GetSubscriptionRequest, wire.Subscription, self._get),
            "UpdateSubscription": (wire.UpdateSubscriptionRequest, wire.Subscription, self._update),
            "DeleteSubscription": (wire.DeleteSubscriptionRequest, wire.Empty, self._delete),
            "ListSubscriptions": (
                wire.ListSubscriptionsRequest,
                wire.ListSubscriptionsResponse,
                self._list,
            ),
            "Pull": (wire.PullRequest, wire.PullResponse, self._pull),
            "Acknowledge": (wire.AcknowledgeRequest, wire.Empty, self._acknowledge),
            "ModifyAckDeadline": (wire.ModifyAckDeadlineRequest, wire.Empty, self._modify),
        }
        streaming = grpc.stream_stream_rpc_method_handler(
            self._guarded(self._streaming_pull),
            wire.StreamingPullRequest.FromString,
            wire.StreamingPullResponse.SerializeToString,
        )
        return [
            grpc.method_handlers_generic_handler(
                "google.pubsub.v1.Publisher", self._unary(publisher)
            ),
            grpc.method_handlers_generic_handler(
                "google.pubsub.v1.Subscriber",
                {**self._unary(subscriber), "StreamingPull": streaming},
            ),
        ]

    def _unary(self, methods: Mapping[str, tuple[Any, Any, _Method]]) -> dict[str, Any]:
        return {
            name: grpc.unary_unary_rpc_method_handler(
                self._guarded(method), request.FromString, response.SerializeToString
            )
            for name, (request, response, method) in methods.items()
        }

    def _guarded(self, method: _Method) -> _Method:
        """``method`` with what it refuses as the status of the call."""

        async def call(request: Any, context: Any) -> Any:
            if self._closing:
                await context.abort(grpc.StatusCode.UNAVAILABLE, _GONE)
            try:
                return await method(request, context)
            except Refused as refused:
                await context.abort(refused.code, str(refused))

        return call

    # -- google.pubsub.v1.Publisher ---------------------------------------------------------

    async def _create_topic(self, request: Any, _: Any) -> Any:
        topic = self._broker.create_topic(request)
        await self._commits.made()
        return topic

    async def _get_topic(self, request: Any, _: Any) -> Any:
        return self._broker.topic(request.topic)

    async def _update_topic(self, request: Any, _: Any) -> Any:
        topic = self._broker.update_topic(request.topic, request.update_mask)
        await self._commits.made()
        return topic

    async def _delete_topic(self, request: Any, _: Any) -> Any:
        self._broker.delete_topic(request.topic)
        await self._commits.made()
        return wire.Empty()

    async def _list_topics(self, request: Any, _: Any) -> Any:
        return wire.ListTopicsResponse(topics=self._broker.topics(request.project))

    async def _list_topic_subscriptions(self, request: Any, _: Any) -> Any:
        names = self._broker.topic_subscriptions(request.topic)
        return wire.ListTopicSubscriptionsResponse(subscriptions=names)

    async def _publish(self, request: Any, _: Any) -> Any:
        rules.check_publish(request)
        ids = self._broker.publish(request.topic, request.messages)
        await self._commits.made()
        return wire.PublishResponse(message_ids=ids)

    # -- google.pubsub.v1.Subscriber --------------------------------------------------------

    async def _create_subscription(self, request: Any, _: Any) -> Any:
        declared = self._broker.create_subscription(request)
        await self._commits.made()
        return declared

    async def _get(self, request: Any, _: Any) -> Any:
        return self._broker.queue(request.subscription).declared

    async def _update(self, request: Any, _: Any) -> Any:
        declared = self._broker.update_subscription(request.subscription, request.update_mask)
        await self._commits.made()
        return declared

    async def _delete(self, request: Any, _: Any) -> Any:
        self._broker.delete_subscription(request.subscription)
        await self._commits.made()
        return wire.Empty()

    async def _list(self, request: Any, _: Any) -> Any:
        found = self._broker.subscriptions(request.project)
        return wire.ListSubscriptionsResponse(subscriptions=found)

    async def _acknowledge(self, request: Any, _: Any) -> Any:
        rules.check_ack_ids(request)
        self._broker.acknowledge(self._broker.queue(request.subscription), request.ack_ids)
        self._commits.soon()
        return wire.Empty()

    async def _modify(self, request: Any, _: Any) -> Any:
        rules.check_ack_ids(request)
        rules.check_extension(request.ack_deadline_seconds)
        queue = self._broker.queue(request.subscription)
        self._broker.modify(queue, request.ack_ids, request.ack_deadline_seconds)
        self._commits.soon()
        return wire.Empty()

    async def _pull(self, request: Any, context: Any) -> Any:
        queue = self._broker.queue(request.subscription)
        if request.max_messages <= 0:
            raise Refused.invalid("max_messages must be positive.")
        limit = min(request.max_messages, BATCH_MESSAGES)
        left = context.time_remaining()
        wait = min(_PULL_WAIT, _PULL_WAIT if left is None else max(0.0, left - _PULL_MARGIN))
        response = wire.PullResponse()
        deadline = asyncio.get_running_loop().time() + (0 if request.return_immediately else wait)
        with self._stream(queue, Consumer()) as stream:
            while True:
                stream.check()
                self._broker.deliver(queue, stream.consumer, 0, limit, response.received_messages)
                left = deadline - asyncio.get_running_loop().time()
                if response.received_messages or left <= 0:
                    return response
                await stream.wait(left)

    async def _streaming_pull(self, requests: AsyncIterator[Any], context: Any) -> None:
        first = await anext(aiter(requests), None)
        if first is None:
            raise Refused.invalid("The stream ended before its first request.")
        queue = self._broker.queue(first.subscription)
        rules.check_deadline(first.stream_ack_deadline_seconds)
        consumer = Consumer(first.max_outstanding_messages, first.max_outstanding_bytes)
        with self._stream(queue, consumer) as stream:
            stream.seconds = first.stream_ack_deadline_seconds
            self._answer(stream, first)
            reading = asyncio.create_task(self._read(stream, requests))
            try:
                while not reading.done():
                    stream.check()
                    response = wire.StreamingPullResponse()
                    received = response.received_messages
                    self._broker.deliver(queue, consumer, stream.seconds, BATCH_MESSAGES, received)
                    if not received:
                        await stream.wait()
                        continue
                    properties = response.subscription_properties
                    properties.message_ordering_enabled = queue.declared.enable_message_ordering
                    await context.write(response)
                reading.result()
            finally:
                reading.cancel()

    async def _read(self, stream: _Stream, requests: AsyncIterator[Any]) -> None:
        """Take acknowledgements and deadlines that come by the stream itself."""
        try:
            async for request in requests:
                self._answer(stream, request)
        finally:
            stream.consumer.wake()

    def _answer(self, stream: _Stream, request: Any) -> None:
        if request.stream_ack_deadline_seconds:
            rules.check_deadline(request.stream_ack_deadline_seconds)
            stream.seconds = request.stream_ack_deadline_seconds
        if request.ack_ids:
            self._broker.acknowledge(stream.queue, request.ack_ids)
        if len(request.modify_deadline_ack_ids) != len(request.modify_deadline_seconds):
            raise Refused.invalid("modify_deadline_ack_ids and _seconds differ in length.")
        for ack_id, seconds in zip(
            request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True
        ):
            rules.check_extension(seconds)
            self._broker.modify(stream.queue, [ack_id], seconds)

    @contextlib.contextmanager
    def _stream(self, queue: Queue, consumer: Consumer) -> Any:
        stream = _Stream(queue, consumer)
        self._streams.add(stream)
        queue.backlog.join(consumer)
        try:
            yield stream
        finally:
            queue.backlog.leave(consumer)
            self._streams.discard(stream)


class _Stream:
    """An open stream or a waiting pull."""

    def __init__(self, queue: Queue, consumer: Consumer) -> None:
        self.queue = queue
        self.consumer = consumer
        self.broken = False
        self.seconds = 0
        self._woken = asyncio.Event()
        consumer.wake = self._woken.set

    def check(self) -> None:
        """Raises Refused: its subscription is gone, or the server goes away."""
        if self.queue.deleted:
            raise Refused.not_found(self.queue.declared.name)
        if self.broken:
            raise Refused(grpc.StatusCode.UNAVAILABLE, _GONE)

    async def wait(self, seconds: float | None = None) -> None:
        """Until there may be something to do."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()
