"""An object's content on this machine: in memory when small, else on unlinked disk space.

Belongs here: holding it, and its digest. Does not: which store it comes from, and what it means.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from dataclasses import dataclass
from typing import IO, BinaryIO, cast

from landing.arrival.identity import ObjectVersion
from landing.stores.base import ObjectStore

#: Objects up to this size are held in memory.
MEMORY_BYTES = 2 * 1024 * 1024

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Held:
    """The content of ``version``; ``sha256`` is hex. ``kept`` says that the archive has it.

    ``data`` is None for what is on disk.
    """

    version: ObjectVersion
    size: int
    sha256: str
    kept: bool
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


def hold(store: ObjectStore, stored: ObjectVersion, version: ObjectVersion, *, kept: bool) -> Held:
    """Bring ``stored``, which has the content of ``version``, to this machine.

    Raises ObjectNotCurrent when ``store`` does not hold it any more.
    """
    with store.open(stored) as stream:
        if stored.size <= MEMORY_BYTES:
            data = stream.read()
            return Held(version, len(data), hashlib.sha256(data).hexdigest(), kept, data)
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
    return Held(version, size, digest.hexdigest(), kept, None, file)
