"""Google Cloud Storage, through dagster-gcp.

Belongs here: how to connect. Does not: listing and reading (``landing/stores``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from google.cloud.storage import Client

#: Seconds of one request; callers pass it, for the client itself has no such setting.
TIMEOUT = 20.0


class GcsResource(dg.ConfigurableResource[Any]):
    """One project's buckets, by dagster-gcp's resource, which is imported at the first use.

    The client itself reads STORAGE_EMULATOR_HOST.
    """

    project: str

    def client(self) -> Client:
        """A new client; ``close()`` it. Raises google.auth.exceptions errors."""
        from dagster_gcp.gcs import GCSResource

        client: Client = GCSResource(project=self.project).get_client()
        return client

    def check(self) -> str:
        """What is reachable, in one line. Raises google.api_core.exceptions errors."""
        client = self.client()
        try:
            page = client.list_buckets(max_results=100, timeout=TIMEOUT, retry=None)
            count = sum(1 for _ in page)
            endpoint = client.api_endpoint
        finally:
            client.close()
        return f"GCS project {self.project} at {endpoint}, {count} buckets"
