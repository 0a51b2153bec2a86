"""BigQuery's Storage Write API, through google-cloud-bigquery-storage.

Belongs here: how to connect. Does not: streams, rows, tables (``assets/reading/stream/append.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

#: Seconds until a server that does not answer counts as unreachable, and a request as failed.
CONNECT_TIMEOUT = 10.0
ANSWER_SECONDS = 30.0

#: A dead connection is noticed within half a minute, a server that came back within seconds.
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class BigQueryWriteResource(dg.ConfigurableResource[Any]):
    """One project. An empty ``grpc_endpoint`` means Google's own, with the default credentials.

    ``grpc_endpoint`` is ``host:port`` of a server that speaks the protocol without TLS.
    """

    project: str
    grpc_endpoint: str = ""
    answer_seconds: float = ANSWER_SECONDS

    def client(self) -> BigQueryWriteClient:
        """A new client; use it as a context manager. Raises google.auth.exceptions errors."""
        from google.cloud.bigquery_storage_v1 import BigQueryWriteClient

        if not self.grpc_endpoint:
            return BigQueryWriteClient()
        import grpc
        from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
            BigQueryWriteGrpcTransport,
        )

        channel = grpc.insecure_channel(self.grpc_endpoint, options=_OPTIONS)
        return BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))

    def check(self) -> str:
        """What is reachable, in one line. Raises grpc.FutureTimeoutError."""
        import grpc

        with self.client() as client:
            transport: Any = client.transport  # of the kinds there are, ours has a channel
            ready = grpc.channel_ready_future(transport.grpc_channel)
            ready.result(timeout=CONNECT_TIMEOUT)
        return f"BigQuery Storage Write, {self.project} at {self.grpc_endpoint or 'Google'}"
