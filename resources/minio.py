"""MinIO, or any S3 gateway that speaks its API, through the minio client.

Belongs here: the resource. Does not: setting up the client (``minio_client.py``), listing, reading
and notifications (``landing``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.minio_client import READ_TIMEOUT, RETRIES, Access

if TYPE_CHECKING:
    from minio import Minio


class MinioResource(dg.ConfigurableResource[Any]):
    """One server. ``endpoint`` is ``http(s)://host:port``."""

    endpoint: str
    access_key: str
    secret_key: str

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        """The address only: the keys are secret."""
        return [("endpoint", self.endpoint)]

    @property
    def access(self) -> Access:
        """How to connect, for a process without Dagster."""
        return Access(self.endpoint, self.access_key, self.secret_key)

    def client(
        self, *, read_timeout: float = READ_TIMEOUT, retries: int = RETRIES, pace: float = 0.0
    ) -> Minio:
        """A new client, safe to use from several threads; see Access.client."""
        return self.access.client(read_timeout=read_timeout, retries=retries, pace=pace)

    def check(self) -> str:
        """What is reachable, in one line. Raises minio.error.S3Error and urllib3's errors."""
        buckets = self.client(retries=0).list_buckets()
        return f"MinIO at {self.endpoint}, {len(buckets)} buckets, as {self.access_key}"
