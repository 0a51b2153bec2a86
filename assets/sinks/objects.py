"""Objects in a bucket: written complete or not at all with their digest, and read back by it.

Belongs here: content on this machine on its way from or to a bucket. Does not: which keys a
pipeline writes, listings and versions (``landing/stores``).

A content is in memory when small, else on unlinked disk space. Its SHA-256 is kept as the object's
metadata, so that a reader sees without a transfer whether the object is what was written.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    from landing.stores.base import ObjectStore
    from landing.stores.minio import MinioStore

#: Contents up to this size are held in memory.
MEMORY_BYTES = 2 * 1024 * 1024

_BLOCK_BYTES = 1024 * 1024
_DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that are all there; ``sha256`` is hex. ``data`` is None for what is on disk."""

    size: int
    sha256: str
    data: bytes | None
    _file: IO[bytes] | None = None

    def open(self) -> BinaryIO:
        """A stream of its own from the beginning, seekable; one at a time."""
        if self._file is None:
            return io.BytesIO(self.data or b"")
        stream = os.fdopen(os.dup(self._file.fileno()), "rb")
        stream.seek(0)
        return cast("BinaryIO", stream)

    def release(self) -> None:
        """Free the disk space, once no stream is open any more."""
        if self._file is not None:
            self._file.close()


def fetch(store: ObjectStore, version: ObjectVersion) -> Content:
    """Bring an object's version to this machine.

    Raises ObjectNotCurrent when ``store`` does not hold it any more.
    """
    with store.open(version) as stream:
        if version.size <= MEMORY_BYTES:
            data = stream.read()
            return Content(len(data), hashlib.sha256(data).hexdigest(), data)
        digest, size = hashlib.sha256(), 0
        file = tempfile.TemporaryFile(prefix="quintet-")  # noqa: SIM115 - release()
        try:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
                file.write(block)
            file.flush()
        except BaseException:
            file.close()
            raise
    return Content(size, digest.hexdigest(), None, file)


def write(store: MinioStore, key: str, content: Content) -> None:
    """Write the object, complete or absent, with its digest; what was there is replaced."""
    with content.open() as stream:
        store.upload(key, stream, size=content.size, metadata={_DIGEST: content.sha256})


def digest_of(store: MinioStore, key: str) -> str | None:
    """The digest that the object was written with; empty for another's, None for no object."""
    metadata = store.metadata(key)
    return None if metadata is None else metadata.get(_DIGEST, "")
