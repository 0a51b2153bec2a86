"""What the adapters of all stores do alike: opening a version that must be the current one.

Belongs here: what follows from a store's own ``stat`` and ranges. Does not: any SDK.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

from landing.arrival.identity import ObjectVersion, StoreKind, unversioned
from landing.stores.base import ObjectGone, ObjectSuperseded, Page

#: Answers that mean "this client may not know" rather than "the bucket keeps versions".
NO_VERSIONING_ANSWERS = {"AccessDenied", "NotImplemented", "MethodNotAllowed"}

#: A bucket whose versioning was suspended goes on listing the version ids that it gave before.
VERSIONING = {"Enabled", "Suspended"}

#: What S3 calls the version of an object that was written while the bucket kept none.
_NULL_VERSION = "null"


def versions_page(
    objects: Sequence[ObjectVersion], after: str | None, marker: str, version_marker: str | None
) -> Page:
    """A page of versions that is not the last, by what S3 says that the next one begins after.

    The latest version of a key comes first: what the next page skips of the key ``marker`` is
    older. Where the listing is still among the versions of ``after`` (S3 begins behind that key,
    some gateways do not), it goes on by their ids. Raises ValueError for an answer that leads
    nowhere, which must not look like an end.
    """
    if after is None or marker > after:
        return Page(objects, marker)
    if not version_marker:
        raise ValueError(f"the listing does not get on after {after!r}")
    return Page(objects, None, version_marker)


class Bucket(ABC):
    """One bucket of one store, through that store's client."""

    kind: ClassVar[StoreKind]

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    @abstractmethod
    def stat(self, key: str) -> ObjectVersion | None:
        """The version that ``key`` holds now, or None."""

    @abstractmethod
    def _stream(self, version: ObjectVersion) -> io.BufferedReader: ...

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        """A stream over exactly this version, its stored bytes; see ObjectStore.

        A version that is replaced while it is being read raises ObjectSuperseded from ``read``
        unless the bucket keeps old versions.
        """
        stream = self._stream(version)
        try:
            yield stream
        finally:
            stream.close()

    def _require_current(self, version: ObjectVersion) -> None:
        current = self.stat(version.key)
        if current is None:
            raise ObjectGone(version)
        if current.version != version.version:
            raise ObjectSuperseded(version)

    def _written(self, key: str) -> ObjectVersion:
        """What is current after a write whose answer names no version."""
        written = self.stat(key)
        if written is None:
            message = f"s3://{self.bucket}/{key} was removed while it was being written"
            raise FileNotFoundError(message)
        return written

    def _by_s3(
        self, key: str, version_id: str | None, etag: str, size: int, modified: datetime
    ) -> ObjectVersion:
        """A version as S3 tells of it; ``version_id`` is None where the bucket keeps none."""
        modified = modified.astimezone(UTC).replace(microsecond=0)
        if version_id in {None, _NULL_VERSION}:
            version_id = unversioned(etag, size, modified)
        return ObjectVersion(self.kind, self.bucket, key, str(version_id), size, modified)
