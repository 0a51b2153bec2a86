"""One S3 bucket, through boto3.

Belongs here: how S3 lists, reads and writes exact versions. Does not: endpoints, credentials,
timeouts (the client that is given has them).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion, unversioned
from landing.stores.base import ObjectGone, ObjectSuperseded, Page
from landing.stores.bucket import NO_VERSIONING_ANSWERS, VERSIONING, Bucket, versions_page
from landing.stores.ranges import CHUNK_BYTES, buffered

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ABSENT = {"404", "NoSuchKey", "NotFound", "NoSuchVersion"}
_RANGE_NOT_SATISFIABLE = {"416", "InvalidRange"}


def error_code(error: Any) -> str:
    """S3's error code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


class S3Store(Bucket):
    """ObjectStore over one bucket.

    A version is S3's version id where the bucket keeps versions, else what
    :func:`landing.arrival.identity.unversioned` makes of etag, size and time.
    """

    kind = "s3"
    _client: S3Client

    def list_page(
        self, prefix: str, after: str | None, limit: int, token: str | None = None
    ) -> Page:
        """The current versions of a page of keys; see ObjectStore.

        A page may hold fewer than ``limit``, even none (after many deleted keys), and still not be
        the last.
        """
        if self._keeps_versions:
            return self._list_versions(prefix, after, limit, token)
        extra: dict[str, Any] = {"StartAfter": after} if after else {}
        answer = self._client.list_objects_v2(
            Bucket=self.bucket,
            Prefix=prefix,
            MaxKeys=limit,
            **({"ContinuationToken": token} if token else extra),
        )
        objects = [self._version(item["Key"], item) for item in answer.get("Contents", [])]
        if not answer["IsTruncated"]:
            return Page(objects, None)
        if objects:
            return Page(objects, objects[-1].key)
        return Page([], None, answer["NextContinuationToken"])

    def stat(self, key: str) -> ObjectVersion | None:
        """The current version of ``key``. Raises ClientError when the bucket itself is missing."""
        from botocore.exceptions import ClientError

        try:
            head = self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error_code(error) not in _ABSENT:
                raise
            # "No object" and "no bucket" are the same answer to a HEAD; a listing tells.
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=key, MaxKeys=1)
            return None
        return self._version(key, head, size=head["ContentLength"])

    def put(
        self,
        key: str,
        data: bytes | IO[bytes],
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectVersion:
        """Write an object, in parts above 8 MB, and return the version that is current then."""
        stream = io.BytesIO(data) if isinstance(data, bytes) else data
        self._client.upload_fileobj(
            stream,
            self.bucket,
            key,
            ExtraArgs={"ContentType": content_type, "Metadata": dict(metadata or {})},
        )
        return self._written(key)

    def get(self, key: str) -> bytes:
        """The whole current content. Raises KeyError when there is none."""
        from botocore.exceptions import ClientError

        try:
            return self._client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error_code(error) in _ABSENT:
                raise KeyError(key) from error
            raise

    def delete(self, key: str) -> None:
        """Remove the current version; nothing happens when there is none."""
        self._client.delete_object(Bucket=self.bucket, Key=key)

    @cached_property
    def _keeps_versions(self) -> bool:
        from botocore.exceptions import ClientError

        try:
            answer = self._client.get_bucket_versioning(Bucket=self.bucket)
        except ClientError as error:
            if error_code(error) in NO_VERSIONING_ANSWERS:
                return False
            raise
        return answer.get("Status") in VERSIONING

    def _list_versions(self, prefix: str, after: str | None, limit: int, token: str | None) -> Page:
        place: dict[str, Any] = {"KeyMarker": after, "VersionIdMarker": token}
        answer = self._client.list_object_versions(
            Bucket=self.bucket,
            Prefix=prefix,
            MaxKeys=limit,
            **{name: value for name, value in place.items() if value},
        )
        objects = [
            self._version(item["Key"], item)
            for item in answer.get("Versions", [])
            if item["IsLatest"] and (after is None or item["Key"] > after)
        ]
        if not answer["IsTruncated"]:
            return Page(objects, None)
        return versions_page(
            objects, after, answer["NextKeyMarker"], answer.get("NextVersionIdMarker")
        )

    def _stream(self, version: ObjectVersion) -> io.BufferedReader:
        from botocore.exceptions import ClientError, HTTPClientError

        confirmed = False

        def fetch(start: int, end: int) -> bytes:
            # The first request asks for what is current; once that was this version, a bucket that
            # keeps versions goes on serving it by its id.
            nonlocal confirmed
            by_id = confirmed and not version.told_by_second
            extra: dict[str, Any] = {"VersionId": version.version} if by_id else {}
            try:
                answer = self._client.get_object(
                    Bucket=self.bucket, Key=version.key, Range=f"bytes={start}-{end - 1}", **extra
                )
            except ClientError as error:
                raise _not_current(error, version) or error from error
            total = int(answer["ContentRange"].rpartition("/")[2])
            self._require_same(version, answer, size=total)
            confirmed = True
            return answer["Body"].read()

        if version.size == 0:
            self._require_current(version)
        return buffered(
            version.size, fetch, retriable=(HTTPClientError,), chunk_bytes=2 * CHUNK_BYTES
        )

    def _require_same(self, version: ObjectVersion, answer: Mapping[str, Any], size: int) -> None:
        made = unversioned(answer["ETag"], size, answer["LastModified"])
        if version.version not in {answer.get("VersionId"), made}:
            raise ObjectSuperseded(version)

    def _version(
        self, key: str, item: Mapping[str, Any], *, size: int | None = None
    ) -> ObjectVersion:
        length = int(item["Size"] if size is None else size)
        version_id = item.get("VersionId") if self._keeps_versions else None
        return self._by_s3(key, version_id, item["ETag"], length, item["LastModified"])


def _not_current(error: Any, version: ObjectVersion) -> Exception | None:
    """What a refused range says about the version, or None when it says nothing."""
    code = error_code(error)
    if code in {"404", "NoSuchKey", "NotFound"}:
        return ObjectGone(version)
    if code in {"NoSuchVersion", *_RANGE_NOT_SATISFIABLE}:
        return ObjectSuperseded(version)
    return None
