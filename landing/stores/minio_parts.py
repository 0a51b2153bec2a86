"""An object of a MinIO server, or another S3 gateway, written while its bytes come.

Belongs here: multipart uploads that end complete or leave nothing. Does not: objects that are there
already as a stream (``minio.py``), where the bytes come from.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from xml.etree.ElementTree import Element, SubElement, tostring

if TYPE_CHECKING:
    from minio import Minio

#: Bytes of one part, of which the writer's caller holds one: S3 takes no less than 5 MiB.
PART_BYTES = 8 * 1024 * 1024

_KIND = {"Content-Type": "application/octet-stream"}
_ONLY_NEW = {"If-None-Match": "*"}


class ObjectExistsError(Exception):
    """The key holds an object, and only a new one was to be written."""


class KeyRefusedError(Exception):
    """The store does not take an object of this key, in its words."""


class AbortedError(Exception):
    """The upload was given up while something of it was still to be written."""


class MinioParts:
    """One object on its way; ``only_new`` replaces none, where the store knows If-None-Match.

    Some gateways ignore that header: who must not replace anything looks before, too. Safe to give
    up from another thread than the one that writes.
    """

    def __init__(self, client: Minio, bucket: str, key: str, *, only_new: bool) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self._condition = _ONLY_NEW if only_new else {}
        self._upload: str | None = None
        self._tags: list[str] = []
        self._ended = False
        self._lock = threading.Lock()

    def write(self, part: bytes) -> None:
        """Write a part that is not the last, of PART_BYTES.

        Raises KeyRefusedError, AbortedError, and as the client for what is not the key's fault.
        """
        with self._lock, about_key(self._key):
            self._require_open()
            self._write(part)

    def finish(self, rest: bytes) -> None:
        """Write what is left, and let the object be seen. Raises ObjectExistsError, and as write.

        What is less than a part is one request without an upload.
        """
        with self._lock, about_key(self._key):
            self._require_open()
            if self._upload is None:
                headers = cast("Any", {**_KIND, **self._condition})
                self._client._put_object(self._bucket, self._key, rest, headers)  # noqa: SLF001
            else:
                if rest:
                    self._write(rest)
                self._complete()
            self._ended = True

    def abort(self) -> None:
        """Leave nothing of an upload that is not finished; nothing happens to one that is.

        Waits for a part that is on its way. Raises as the client: the store removes the parts by
        itself later then.
        """
        with self._lock:
            upload, self._upload = self._upload, None
            ended, self._ended = self._ended, True
            if upload and not ended:
                self._client._abort_multipart_upload(self._bucket, self._key, upload)  # noqa: SLF001

    def _require_open(self) -> None:
        if self._ended:
            raise AbortedError(self._key)

    def _write(self, part: bytes) -> None:
        client = self._client
        if self._upload is None:
            self._upload = client._create_multipart_upload(self._bucket, self._key, dict(_KIND))  # noqa: SLF001
        number = len(self._tags) + 1
        self._tags.append(
            client._upload_part(self._bucket, self._key, part, None, self._upload, number)  # noqa: SLF001
        )

    def _complete(self) -> None:
        """As the client's own, which knows no conditions."""
        from minio.datatypes import CompleteMultipartUploadResult

        asked = Element("CompleteMultipartUpload")
        for number, tag in enumerate(self._tags, 1):
            part = SubElement(asked, "Part")
            SubElement(part, "PartNumber").text = str(number)
            SubElement(part, "ETag").text = f'"{tag}"'
        response = self._client._execute(  # noqa: SLF001
            "POST",
            self._bucket,
            self._key,
            body=tostring(asked),
            headers={"Content-Type": "application/xml", **self._condition},
            query_params={"uploadId": str(self._upload)},
        )
        # S3 may say 200 first and what went wrong after it.
        if not CompleteMultipartUploadResult(response).etag:
            raise ConnectionError(f"the store did not put the parts of {self._key} together")


@contextmanager
def about_key(key: str) -> Iterator[None]:
    """Tell what is wrong with one key from what is wrong with the store.

    Raises KeyRefusedError, ObjectExistsError, and all else as it is.
    """
    from minio.error import S3Error
    from urllib3.exceptions import MaxRetryError, ResponseError

    try:
        yield
    except S3Error as error:
        if error.response.status == HTTPStatus.PRECONDITION_FAILED:
            raise ObjectExistsError(key) from error
        if error.response.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT}:
            raise KeyRefusedError(f"{error.code}: {error.message}") from error
        raise
    except MaxRetryError as error:
        # What gateways say of a key below another key that is an object.
        if str(error.reason) == ResponseError.SPECIFIC_ERROR.format(status_code=500):
            # Not from it: what comes of such an error counts as the store's.
            raise KeyRefusedError(str(error.reason)) from None
        raise
