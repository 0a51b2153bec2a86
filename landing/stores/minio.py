"""One bucket of a MinIO server or another S3 gateway, through the minio client.

Belongs here: how that client lists, reads and writes exact versions. Does not: endpoints,
credentials, timeouts (the client that is given has them).

Conditional requests are not relied on: some gateways ignore ``If-Match`` and ``If-None-Match``,
so every answer is compared with the version that was asked for.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import cached_property
from itertools import takewhile
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, cast

from landing.arrival.identity import ObjectVersion, unversioned
from landing.stores.base import ObjectGone, ObjectSuperseded, Page
from landing.stores.bucket import NO_VERSIONING_ANSWERS, VERSIONING, Bucket, versions_page
from landing.stores.ranges import CHUNK_BYTES, buffered

if TYPE_CHECKING:
    from minio import Minio

#: Bytes of one uploaded part; an unfinished upload is never visible.
PART_BYTES = 10 * 1024 * 1024

_METADATA = "x-amz-meta-"

#: What became of a version that was to be removed: it is gone now, another one was there, or none.
Removal = Literal["removed", "replaced", "absent"]

_ABSENT = {"NoSuchKey", "NoSuchObject", "ResourceNotFound"}


class MinioStore(Bucket):
    """ObjectStore over one bucket; versions as in :class:`landing.stores.s3.S3Store`."""

    kind = "minio"
    _client: Minio

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        """The current versions among the next ``limit`` entries; see ObjectStore.

        A page may hold fewer than ``limit``, even none, and still not be the last.
        """
        from minio.datatypes import parse_list_objects

        versions = self._keeps_versions
        place = {"versions": "", "key-marker": after or "", "version-id-marker": token or ""}
        if not versions:
            place = {
                "list-type": "2",
                "start-after": after or "",
                "continuation-token": token or "",
            }
            if token:
                place.pop("start-after")
        # The client itself only lists to the end, however many empty pages there are.
        response = self._client._execute(  # noqa: SLF001
            "GET",
            self.bucket,
            query_params={
                "delimiter": "", "encoding-type": "url", "max-keys": str(limit), "prefix": prefix,
                **{name: value for name, value in place.items() if value or name == "versions"},
            },
        )  # fmt: skip
        entries, truncated, marker, version_marker = parse_list_objects(response, self.bucket)
        objects = [
            self._version(entry)
            for entry in entries
            # Some gateways list the older versions of the key after which to begin once more.
            if (after is None or str(entry.object_name) > after) and self._is_current(entry)
        ]
        if not truncated:
            return Page(objects, None)
        if not marker:
            raise ValueError(f"the listing does not get on after {after!r}")
        if versions:
            return versions_page(objects, after, marker, version_marker)
        return Page(objects, objects[-1].key) if objects else Page([], None, marker)

    def stat(self, key: str) -> ObjectVersion | None:
        """The current version of ``key``. Raises S3Error when the bucket itself is missing."""
        from minio.error import S3Error

        try:
            return self._version(self._client.stat_object(self.bucket, key))
        except S3Error as error:
            if error.code not in _ABSENT:
                raise
        # "No object" and "no bucket" are the same answer to a HEAD; a listing tells.
        self.list_page(key, None, 1)
        return None

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectVersion:
        """Write an object, in parts above 10 MB, and return the version that is current then."""
        size = len(data) if isinstance(data, bytes) else None
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        self.upload(key, stream, size=size, content_type=content_type, metadata=metadata)
        return self._written(key)

    def upload(
        self,
        key: str,
        stream: IO[bytes],
        *,
        size: int | None,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """Write an object of ``size`` bytes (None when unknown), without asking what is there then.

        Complete or absent, in parts above 10 MB. Metadata is ASCII.
        """
        self._client.put_object(
            self.bucket,
            key,
            cast("BinaryIO", stream),
            length=-1 if size is None else size,
            part_size=PART_BYTES,
            content_type=content_type,
            metadata=dict(metadata) if metadata else None,
        )

    def metadata(self, key: str) -> dict[str, str] | None:
        """What was given as metadata with the current version, names in lower case; None without.

        Raises S3Error when the store cannot tell.
        """
        from minio.error import S3Error

        try:
            headers = self._client.stat_object(self.bucket, key).metadata or {}
        except S3Error as error:
            if error.code in _ABSENT:
                return None
            raise
        found = {name.lower(): value for name, value in headers.items()}
        return {
            name.removeprefix(_METADATA): value
            for name, value in found.items()
            if name.startswith(_METADATA)
        }

    def remove(self, version: ObjectVersion) -> Removal:
        """Remove exactly this version, and what is there instead when it is not the current one.

        In a bucket that keeps versions it goes by its id, after those of its key that are older,
        which would otherwise become current again: nothing newer can be lost. In other buckets the
        current object has to match first. A rewrite that arrives between that look and the
        deletion, one round trip, is deleted with it: stores without versions have no way to tell.
        """
        if self._keeps_versions:
            return self._remove_by_id(version)
        current = self.stat(version.key)
        if current is None:
            return "absent"
        if current.version != version.version:
            return "replaced"
        self._client.remove_object(self.bucket, version.key)
        return "removed"

    def get(self, key: str) -> bytes:
        """The whole current content. Raises KeyError when there is none."""
        from minio.error import S3Error

        try:
            response = self._client.get_object(self.bucket, key)
        except S3Error as error:
            if error.code in _ABSENT:
                raise KeyError(key) from error
            raise
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def delete(self, key: str) -> None:
        """Remove the current version; nothing happens when there is none."""
        self._client.remove_object(self.bucket, key)

    def _remove_by_id(self, version: ObjectVersion) -> Removal:
        listed = self._client.list_objects(
            self.bucket, prefix=version.key, recursive=True, include_version=True
        )
        # Its own versions come first in the listing, the newest of them at the top.
        own = takewhile(lambda entry: entry.object_name == version.key, listed)
        entries = [entry for entry in own if not entry.is_delete_marker]
        mine = [entry for entry in entries if self._version(entry).version == version.version]
        if not mine:
            return "replaced" if any(entry.is_latest == "true" for entry in entries) else "absent"
        older = entries[entries.index(mine[0]) + 1 :]
        for entry in [*reversed(older), mine[0]]:
            self._client.remove_object(self.bucket, version.key, version_id=entry.version_id)
        return "removed"

    @cached_property
    def _keeps_versions(self) -> bool:
        from minio.error import S3Error

        try:
            return self._client.get_bucket_versioning(self.bucket).status in VERSIONING
        except S3Error as error:
            if error.code in NO_VERSIONING_ANSWERS:
                return False
            raise

    def _is_current(self, entry: Any) -> bool:
        if not self._keeps_versions:
            return True
        return entry.is_latest == "true" and not entry.is_delete_marker

    def _stream(self, version: ObjectVersion) -> io.BufferedReader:
        from minio.error import S3Error
        from urllib3.exceptions import HTTPError

        confirmed = False

        def fetch(start: int, end: int) -> bytes:
            # See S3Store: first what is current, then, once confirmed, the version by its id.
            nonlocal confirmed
            by_id = confirmed and not version.told_by_second
            try:
                response = self._client.get_object(
                    self.bucket,
                    version.key,
                    offset=start,
                    length=end - start,
                    version_id=version.version if by_id else None,
                )
            except S3Error as error:
                raise _not_current(error, version) or error from error
            try:
                _require_same(version, response.headers)
                confirmed = True
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

        if version.size == 0:
            self._require_current(version)
        return buffered(version.size, fetch, retriable=(HTTPError,), chunk_bytes=2 * CHUNK_BYTES)

    def _version(self, entry: Any) -> ObjectVersion:
        version_id = entry.version_id if self._keeps_versions else None
        size = int(entry.size or 0)
        return self._by_s3(
            entry.object_name, version_id, entry.etag or "", size, entry.last_modified
        )


def _require_same(version: ObjectVersion, headers: Mapping[str, str]) -> None:
    total = int(headers["Content-Range"].rpartition("/")[2])
    modified = parsedate_to_datetime(headers["Last-Modified"])
    made = unversioned(headers["ETag"], total, modified)
    if version.version not in {headers.get("x-amz-version-id"), made}:
        raise ObjectSuperseded(version)


def _not_current(error: Any, version: ObjectVersion) -> Exception | None:
    if error.code in _ABSENT:
        return ObjectGone(version)
    if error.code in {"NoSuchVersion", "InvalidRange"}:
        return ObjectSuperseded(version)
    return None
