"""Looking at the beginning of a stream that can only be read forward.

Belongs here: the beginning, and the stream with it put back. Does not: what tells a format.
"""

from __future__ import annotations

import codecs
from typing import IO


def head(stream: IO[bytes], size: int) -> bytes:
    """The first ``size`` bytes, fewer of a shorter stream; short reads of a network are joined."""
    parts, missing = [], size
    while missing > 0 and (data := stream.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


def first_line(head: bytes) -> bytes:
    """The first line of a text that is not blank, without a byte order mark and its end."""
    return head.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r")


class Rejoined:
    """A stream of which the head was read already: only what formats need of one."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end."""
        if not self._head:
            return self._rest.read(size)
        part, self._head = self._head[:size], self._head[size:]
        return part
