"""A model of images, as an ONNX file that takes the place of the one trained in the graph.

Belongs here: where the file lies, and bringing it here. Does not: what a model must be and do
(``assets/images/classifier``).
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import dagster as dg

from resources.minio import MinioResource

CONNECT_TIMEOUT = 5.0
_BLOCK = 64 * 1024


class RefusedModelError(Exception):
    """The address leads to no file that may be taken."""


class ClassifierResource(dg.ConfigurableResource[Any]):
    """``url`` is ``http(s)://…``, or ``s3://bucket/key`` on MinIO; empty for the graph's own model.

    ``timeout`` is in seconds, of the whole transfer; ``most_bytes`` what a file may have.
    """

    url: str = ""
    timeout: float = 60.0
    most_bytes: int = 64 * 1024 * 1024

    def fetch(self, minio: MinioResource) -> bytes | None:
        """The file; None where none is configured.

        Raises RefusedModelError: no such address or object, too large; httpx.HTTPError and
        what the minio client raises.
        """
        if not self.url:
            return None
        address = urlsplit(self.url)
        if address.scheme in {"http", "https"} and address.netloc:
            return self._over_http()
        if address.scheme == "s3" and address.netloc and address.path.strip("/"):
            return self._from_bucket(minio, address.netloc, address.path.lstrip("/"))
        raise RefusedModelError(f"not http(s)://… or s3://bucket/key: {self.url!r}")

    def check(self, minio: MinioResource) -> str:
        """What is reachable, in one line. Raises as fetch does."""
        data = self.fetch(minio)
        if data is None:
            return "no model configured: the one trained in the graph is used"
        return f"model of {len(data)} bytes at {self.url}"

    def _over_http(self) -> bytes:
        import httpx

        end = time.monotonic() + self.timeout
        body = bytearray()
        limits = httpx.Timeout(self.timeout, connect=min(self.timeout, CONNECT_TIMEOUT))
        with httpx.stream("GET", self.url, timeout=limits, follow_redirects=True) as response:
            response.raise_for_status()
            # The client's own timeout is for each read, which a drop at a time would renew.
            for piece in response.iter_bytes(_BLOCK):
                body += piece
                self._require_small(len(body))
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("it took too long", request=response.request)
        return bytes(body)

    def _from_bucket(self, minio: MinioResource, bucket: str, key: str) -> bytes:
        from minio.error import S3Error

        try:
            response = minio.client(read_timeout=self.timeout).get_object(bucket, key)
        except S3Error as error:
            if error.code in {"NoSuchKey", "NoSuchBucket", "NoSuchObject", "ResourceNotFound"}:
                raise RefusedModelError(f"there is no {self.url}") from error
            raise
        end = time.monotonic() + self.timeout
        body = bytearray()
        try:
            for piece in response.stream(_BLOCK):
                body += piece
                self._require_small(len(body))
                if time.monotonic() > end:
                    raise TimeoutError(f"{self.url} took too long")
        finally:
            response.close()
            response.release_conn()
        return bytes(body)

    def _require_small(self, size: int) -> None:
        if size > self.most_bytes:
            raise RefusedModelError(f"{self.url} has more than {self.most_bytes} bytes")
