"""Files that may be compressed: their text, whole or not at all.

Belongs here: telling gzip by its first bytes, and reading it. Does not: what the text says.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, cast

from assets.formats import sniffed
from landing.batch.chunks import UnreadableObject
from landing.batch.reasons import CORRECT_FILE, RejectReason

GZIP_REASONS = (
    RejectReason("bad_gzip", "a compressed file that is damaged or cut off", CORRECT_FILE),
)
MAGIC = b"\x1f\x8b"
_COPY_BYTES = 1024 * 1024


@contextmanager
def plain(stream: BinaryIO) -> Iterator[IO[bytes]]:
    """The file's text, whatever the file is called.

    A compressed file is copied to disk and tested to its end first. Raises UnreadableObject
    (``bad_gzip``) when it is damaged or cut off.
    """
    head = sniffed.head(stream, len(MAGIC))
    whole = sniffed.Rejoined(head, stream)
    if head != MAGIC:
        yield cast("IO[bytes]", whole)
        return
    with tempfile.TemporaryFile(prefix="quintet-") as file:
        while data := whole.read(_COPY_BYTES):
            file.write(data)
        _test(file)
        file.seek(0)
        with gzip.open(file) as text:
            yield cast("IO[bytes]", text)


def _test(file: IO[bytes]) -> None:
    file.seek(0)
    read = 0
    try:
        with gzip.open(file) as text:
            while data := text.read(_COPY_BYTES):
                read += len(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        detail = f"{error} after {read} bytes of text"
        raise UnreadableObject("bad_gzip", detail) from error
