"""What an object version is: the identity that the ledger, the batches and the runs agree on.

Belongs here: the identity itself and how it is spelled. Does not: how a store lists or reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

StoreKind = Literal["gcs", "s3", "minio"]

_SECOND = "%Y%m%dT%H%M%SZ"
_SCHEMES: dict[str, str] = {"gcs": "gs", "s3": "s3", "minio": "s3"}


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of one object, as a listing or a HEAD reported it.

    ``version`` is the store's own generation or version id. Where the bucket keeps no versions it
    is what :func:`unversioned` makes of etag, size and modification time.
    ``size`` is in bytes; ``modified_at`` is in UTC, cut to whole seconds.
    """

    store: StoreKind
    bucket: str
    key: str
    version: str
    size: int
    modified_at: datetime

    @property
    def uri(self) -> str:
        """``gs://bucket/key#version``: how messages, metadata and quarantine name a version."""
        return f"{_SCHEMES[self.store]}://{self.bucket}/{self.key}#{self.version}"

    @property
    def told_by_second(self) -> bool:
        """Whether ``version`` is what :func:`unversioned` makes."""
        return self.version.endswith(f"-{self.size}-{self.modified_at:{_SECOND}}")


def unversioned(etag: str, size: int, modified_at: datetime) -> str:
    """The version of an object in a bucket that keeps none.

    The etag alone is a hash of the content, so that A, B, A again would look known; the time is
    cut to seconds because listings and HEAD differ below that.
    """
    second = modified_at.astimezone(UTC).replace(microsecond=0)
    return f"{etag.strip(chr(34))}-{size}-{second:{_SECOND}}"
