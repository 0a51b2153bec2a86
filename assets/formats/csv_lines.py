"""The bytes of a CSV file as they come: short reads joined, the first line, lines without an end.

Belongs here: what is read of the stream and not used up yet. Does not: what a line says.
"""

from __future__ import annotations

import codecs
from typing import BinaryIO

from assets.formats.csv_rules import Limits
from landing.batch.chunks import UnreadableObject, original_text

#: A header longer than this is none.
_HEADER_BYTES = 64 * 1024
#: How much of an overlong line is kept for the quarantine.
KEPT_BYTES = 64 * 1024


class Lines:
    """``rest`` is what was read and not used up, ``number`` that of the line it begins with."""

    def __init__(self, stream: BinaryIO, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self.rest = b""
        self.number = 1
        self.ended = False

    def fill(self) -> None:
        """Read one more block behind the rest; short reads of a network stream are joined."""
        if self.ended:
            return
        parts, missing = [self.rest], self._limits.block_bytes
        while missing > 0:
            data = self._stream.read(missing)
            if not data:
                self.ended = True
                break
            parts.append(data)
            missing -= len(data)
        self.rest = b"".join(parts)
        unended = len(self.rest) - self.rest.rfind(b"\n") - 1
        if self.ended and 0 < unended <= self._limits.line_bytes:
            self.rest += b"\n"

    def first(self) -> bytes | None:
        """The first line that is not blank, without its end; None when there is none.

        Raises UnreadableObject (``bad_header``) when it is longer than any header.
        """
        self.fill()
        self.rest = self.rest.removeprefix(codecs.BOM_UTF8)
        while True:
            end = self.rest.find(b"\n", 0, _HEADER_BYTES)
            while end < 0 and not self.ended and len(self.rest) < _HEADER_BYTES:
                self.fill()
                end = self.rest.find(b"\n", 0, _HEADER_BYTES)
            if end < 0 and not self.rest:
                return None
            if end < 0:
                raise UnreadableObject(
                    "bad_header", "the first line is no header", original_text(self.rest)
                )
            line, self.rest = self.rest[: end + 1].rstrip(b"\r\n"), self.rest[end + 1 :]
            self.number += 1
            if line:
                return line
            if not self.rest and self.ended:
                return None

    def drop_overlong(self) -> tuple[bytes, int]:
        """Drop the line at the front, reading on to its end; its beginning and its bytes."""
        kept, size = self.rest[:KEPT_BYTES], 0
        while (end := self.rest.find(b"\n")) < 0 and not self.ended:
            size += len(self.rest)
            self.rest = b""
            self.fill()
        size += end if end >= 0 else len(self.rest)
        self.rest = self.rest[end + 1 :] if end >= 0 else b""
        self.number += 1
        return kept, size
