"""Amazon S3, or a server that speaks its API, through boto3.

Belongs here: how to connect. Does not: listing, reading and writing (``landing/stores``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Seconds to connect and to wait for data. With the retries well below a tick's 60 s.
CONNECT_TIMEOUT = 5
READ_TIMEOUT = 10
RETRIES = 2
#: Connections kept: as many as a step has requests in flight.
CONNECTIONS = 16


class S3Resource(dg.ConfigurableResource[Any]):
    """One account's buckets. An empty ``endpoint`` is Amazon's own.

    Credentials come from boto3's usual chain: variables, profile, or the role of the machine. Not
    by dagster-aws's resource: it has an endpoint, but no timeouts, and no buckets as folders.
    """

    endpoint: str
    region: str

    def client(self, *, retries: int = RETRIES) -> S3Client:
        """A new client, safe to share among threads; ``close()`` it.

        ``retries`` counts further attempts. Raises botocore.exceptions errors.
        """
        import boto3
        from botocore.config import Config

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint or None,
            region_name=self.region,
            config=Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": retries + 1, "mode": "standard"},
                max_pool_connections=CONNECTIONS,
                # Buckets as folders of a host: what gateways serve under one address.
                s3={"addressing_style": "path"} if self.endpoint else {},
            ),
        )
        return client

    def check(self) -> str:
        """What is reachable, in one line. Raises botocore.exceptions errors."""
        client = self.client(retries=0)
        try:
            buckets = client.list_buckets()["Buckets"]
        finally:
            client.close()
        return f"S3 at {self.endpoint or 'Amazon'}, {len(buckets)} buckets"
