"""A Pub/Sub server for one machine: Google's gRPC services, state that survives kill -9.

Belongs here: the process. Does not: what it does (``local/pubsub/``).

Topics, subscriptions, publish, pull, StreamingPull with flow control, acknowledge and deadlines,
redelivery, delivery attempts, dead-letter topics, retry policies, ordering keys, retention. Push,
filters, snapshots, seek, schemas and exactly-once delivery are refused.

Runs in the application's environment, which has google-cloud-pubsub and with it every message
class: ``python -m local.pubsub_server GRPC_PORT HTTP_PORT DIRECTORY``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import grpc

from local.pubsub.admin import Admin
from local.pubsub.broker import Broker
from local.pubsub.commits import Commits
from local.pubsub.endpoints import Endpoints
from local.pubsub.journal import Journal

_HOST = "127.0.0.1"
#: Seconds in which clients learn that the server goes.
_GRACE = 0.2
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Without it two servers would share a port.
    ("grpc.so_reuseport", 0),
    # Google's client pings a silent connection every 30 s: not too often.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


async def serve(port: int, http_port: int, directory: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    with contextlib.closing(Journal(directory / "pubsub.sqlite")) as journal:
        broker = Broker(journal)
        endpoints = Endpoints(broker, Commits(journal))
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers(endpoints.handlers())
        if not server.add_insecure_port(f"{_HOST}:{port}"):
            raise SystemExit(f"port {port} is taken")
        await server.start()
        await asyncio.start_server(Admin(broker, endpoints).serve, _HOST, http_port)
        clock = asyncio.create_task(endpoints.keep_time())
        await asyncio.wait(
            [clock, asyncio.create_task(stopping.wait())], return_when=asyncio.FIRST_COMPLETED
        )
        # A server of gRPC that stops cancels the calls it has, and Google's client does not come
        # again after that. So calls are refused as UNAVAILABLE, and the process ends.
        endpoints.close()
        if clock.done():
            clock.result()
        await asyncio.sleep(_GRACE)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
