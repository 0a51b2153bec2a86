"""Counts and faults of a Pub/Sub server over HTTP, where Google has Cloud Monitoring.

- ``GET /health``: ``ok``
- ``GET /counts``: ``{"topics": {name: {"published"}}, "subscriptions": {name: {…}}}``, names in
  full; a subscription has ``num_undelivered_messages``, ``num_outstanding_messages`` and
  ``oldest_unacked_message_age`` (seconds), as Cloud Monitoring calls them, and how many messages
  were ``delivered``, ``acknowledged``, ``nacked``, ``expired``, ``dead_lettered`` and ``forgotten``
  since the server started
- ``PUT /faults`` ``{"subscription": name, "deliveries": n}``: every message is delivered at least n
  times, acknowledged or not
- ``PUT /faults`` ``{"subscription": name, "streams": "break"}``: its streams and waiting pulls end
  as UNAVAILABLE, as they do when a server goes away; new ones are served
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from local.pubsub.broker import Broker
from local.pubsub.endpoints import Endpoints
from local.pubsub.rules import Refused

_LIMIT = 65_536


class Admin:
    """One request per connection."""

    def __init__(self, broker: Broker, endpoints: Endpoints) -> None:
        self._broker = broker
        self._endpoints = endpoints

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            status, content = self._answer(*await _request(reader))
        except (ValueError, TypeError, KeyError, asyncio.IncompleteReadError) as error:
            status, content = "400 Bad Request", {"error": str(error)}
        except Refused as refused:
            status, content = "404 Not Found", {"error": str(refused)}
        body = (content if isinstance(content, str) else json.dumps(content)).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode("ascii") + body)
        await writer.drain()
        writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> tuple[str, Any]:
        match method, path:
            case "GET", "/health":
                return "200 OK", "ok"
            case "GET", "/counts":
                return "200 OK", self._broker.counts()
            case "PUT", "/faults":
                self._set_fault(**json.loads(body))
                return "200 OK", {"status": "ok"}
        return "404 Not Found", {"error": "no such page"}

    def _set_fault(
        self, *, subscription: str, deliveries: int | None = None, streams: str = ""
    ) -> None:
        queue = self._broker.queue(subscription)
        if deliveries is not None:
            queue.deliveries = int(deliveries)
        if streams == "break":
            self._endpoints.break_streams(queue)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, bytes]:
    """Method, path and body. Raises ValueError, IncompleteReadError."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    length = int(headers.get("content-length", "0"))
    if length > _LIMIT:
        raise ValueError("the body is too long")
    return method, path, await reader.readexactly(length)
