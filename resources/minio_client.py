"""Making a client of MinIO: timeouts, retries, connections.

Belongs here: the minio client's set-up. Does not: Dagster, which processes that only read objects
do without.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from resources import retryable

if TYPE_CHECKING:
    from minio import Minio

#: Seconds to connect and to wait for data. With the retries well below a tick's 60 s.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
RETRIES = 2
#: A server's Retry-After is followed for at most so many seconds: urllib3 would wait for six hours.
LONGEST_RETRY_AFTER = 5

#: Connections kept: as many as a step has requests in flight.
CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Access:
    """One server, as ``http(s)://host:port``, and who we are there."""

    endpoint: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    def client(
        self, *, read_timeout: float = READ_TIMEOUT, retries: int = RETRIES, pace: float = 0.0
    ) -> Minio:
        """A new client, safe to use from several threads. Raises ValueError for a bad endpoint.

        ``read_timeout`` is in seconds, ``retries`` counts further attempts after broken
        connections and answers that ``retryable`` names, ``pace`` is the least time in seconds
        between two requests.
        """
        import certifi
        import urllib3
        from minio import Minio

        class Paced(urllib3.PoolManager):
            """The client's own loops, such as that of notifications, know no pause."""

            next_at = 0.0

            def urlopen(self, *args: Any, **kwargs: Any) -> Any:
                time.sleep(max(0.0, self.next_at - time.monotonic()))
                self.next_at = time.monotonic() + pace
                return super().urlopen(*args, **kwargs)

        address = urlsplit(self.endpoint)
        if address.scheme not in {"http", "https"} or not address.netloc or address.path.strip("/"):
            raise ValueError(f"not http(s)://host:port: {self.endpoint!r}")
        return Minio(
            endpoint=address.netloc,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=address.scheme == "https",
            http_client=(Paced if pace else urllib3.PoolManager)(
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read_timeout),
                maxsize=CONNECTIONS,
                cert_reqs="CERT_REQUIRED",
                ca_certs=os.environ.get("SSL_CERT_FILE") or certifi.where(),
                retries=urllib3.Retry(
                    total=retries,
                    backoff_factor=0.2,
                    status_forcelist=retryable.HTTP_STATUSES,
                    retry_after_max=LONGEST_RETRY_AFTER,
                ),
            ),
        )
