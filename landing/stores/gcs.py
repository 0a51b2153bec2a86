"""One Google Cloud Storage bucket, through google-cloud-storage.

Belongs here: how GCS lists, reads and writes exact generations. Does not: endpoints, credentials.
Works on the client that it is given; timeouts are arguments because that client takes them per
call.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion
from landing.stores.base import Page
from landing.stores.bucket import Bucket
from landing.stores.ranges import buffered

if TYPE_CHECKING:
    from google.cloud import storage

#: Seconds to connect and to wait for data, per request; well below a tick's 60 s.
TIMEOUT = (5.0, 15.0)

#: Seconds for which requests are retried; the client's own 120 outlast a tick.
RETRY_SECONDS = 20.0

#: Uploads above this go in parts; an unfinished one is never visible.
UPLOAD_CHUNK_BYTES = 8 * 1024 * 1024

_LISTED_FIELDS = "items(name,generation,size,timeCreated,updated),nextPageToken"


class GcsStore(Bucket):
    """ObjectStore over one bucket; a version is an object generation."""

    kind = "gcs"
    _client: storage.Client

    def __init__(
        self, client: storage.Client, bucket: str, *, timeout: tuple[float, float] = TIMEOUT
    ) -> None:
        super().__init__(client, bucket)
        self._bucket = client.bucket(bucket)
        self._timeout = timeout
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._short_retry = DEFAULT_RETRY.with_timeout(RETRY_SECONDS)

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        """At most ``limit`` objects after ``after``; see ObjectStore."""
        blobs = self._client.list_blobs(
            self.bucket,
            prefix=prefix or None,
            start_offset=after,
            # It is inclusive: the object at it may still be there.
            page_size=limit + (after is not None),
            page_token=token,
            fields=_LISTED_FIELDS,
            timeout=self._timeout,
            retry=self._short_retry,
        )
        page = next(iter(blobs.pages), ())
        objects = [self._version(blob) for blob in page if blob.name != after][:limit]
        more: str | None = blobs.next_page_token
        if objects and (more or len(objects) == limit):
            return Page(objects, objects[-1].key)
        return Page(objects, None, more)

    def stat(self, key: str) -> ObjectVersion | None:
        """The current generation of ``key``. Raises NotFound when the bucket itself is missing."""
        blob = self._bucket.get_blob(key, timeout=self._timeout, retry=self._short_retry)
        if blob is None:
            # "No object" and "no bucket" are the same answer to a HEAD; a listing tells.
            self.list_page(key, None, 1)
            return None
        return self._version(blob)

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectVersion:
        """Write an object and return the generation written."""
        blob = self._bucket.blob(key)
        blob.metadata = dict(metadata) if metadata else None
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        size = len(data) if isinstance(data, bytes) else None
        if size is None or size > UPLOAD_CHUNK_BYTES:
            blob.chunk_size = UPLOAD_CHUNK_BYTES
        blob.upload_from_file(
            stream,
            size=size,
            content_type=content_type,
            timeout=self._timeout,
            checksum="crc32c",
            retry=self._short_retry,
        )
        return self._version(blob)

    def get(self, key: str) -> bytes:
        """The whole current content. Raises KeyError when there is none."""
        from google.api_core.exceptions import NotFound

        try:
            content: bytes = self._bucket.blob(key).download_as_bytes(
                raw_download=True, timeout=self._timeout, retry=self._short_retry
            )
        except NotFound as error:
            if self.stat(key) is None:
                raise KeyError(key) from error
            raise
        return content

    def delete(self, key: str) -> None:
        """Remove the current version; nothing happens when there is none."""
        from google.api_core.exceptions import NotFound

        try:
            self._bucket.blob(key).delete(timeout=self._timeout)
        except NotFound:
            self.stat(key)

    def _stream(self, version: ObjectVersion) -> io.BufferedReader:
        from google.api_core.exceptions import NotFound

        # A versioned bucket serves old generations too, so that a GET alone proves nothing.
        self._require_current(version)
        blob = self._bucket.blob(version.key, generation=int(version.version))

        def fetch(start: int, end: int) -> bytes:
            try:
                # Ranges carry no checksum, and a decompressed range would be meaningless.
                data: bytes = blob.download_as_bytes(
                    start=start,
                    end=end - 1,
                    raw_download=True,
                    checksum=None,
                    timeout=self._timeout,
                    retry=self._short_retry,
                )
            except NotFound:
                self._require_current(version)
                raise
            return data

        return buffered(version.size, fetch)

    def _version(self, blob: Any) -> ObjectVersion:
        modified: datetime = blob.time_created or blob.updated
        return ObjectVersion(
            store="gcs",
            bucket=self.bucket,
            key=blob.name,
            version=str(blob.generation),
            size=int(blob.size or 0),
            modified_at=modified.astimezone(UTC).replace(microsecond=0),
        )
