"""Reading an object range by range: bounded memory, resumable, indifferent to slow consumers.

Belongs here: the stream over ranges. Does not: any SDK, or what makes a range the right version.

One long GET would have to stay open while rows are validated and would break half way on large
objects; ranges of a few MB each cost one request and can be asked for again.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Bytes of one range: memory of an open object is about twice this.
CHUNK_BYTES = 4 * 1024 * 1024

#: Seconds to wait before a range is asked for again after a broken transfer.
RETRY_DELAYS = (0.2, 0.8, 3.2)

Fetch = Callable[[int, int], bytes]


class ShortReadError(ConnectionError):
    """The store sent fewer bytes than the range that it agreed to send."""


class ChunkedReader(io.RawIOBase):
    """A forward-only stream over ``size`` bytes that ``fetch(start, end)`` delivers by ranges.

    ``end`` is exclusive. ``retriable`` are the exceptions after which a range is asked for again
    (OSError, and with it every connection error, always is); others pass through at once.
    """

    def __init__(
        self,
        size: int,
        fetch: Fetch,
        *,
        retriable: tuple[type[Exception], ...] = (),
        chunk_bytes: int = CHUNK_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._size = size
        self._fetch = fetch
        self._retriable: tuple[type[Exception], ...] = (OSError, *retriable)
        self._chunk_bytes = chunk_bytes
        self._sleep = sleep
        self._chunk = memoryview(b"")
        self._next = 0

    def readable(self) -> bool:
        """Always: this is a source."""
        return True

    def prefetch(self) -> None:
        """Get the first range now, so that a version that is not there fails on opening."""
        if self._size and not self._chunk:
            self._advance()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill ``buffer`` from the current range; 0 at the end of the object."""
        if not self._chunk:
            if self._next >= self._size:
                return 0
            self._advance()
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._chunk))
        target[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def _advance(self) -> None:
        end = min(self._next + self._chunk_bytes, self._size)
        self._chunk = memoryview(self._fetch_whole(self._next, end))
        self._next = end

    def _fetch_whole(self, start: int, end: int) -> bytes:
        for delay in (*RETRY_DELAYS, None):
            try:
                data = self._fetch(start, end)
                if len(data) != end - start:
                    message = f"asked for bytes {start}-{end}, received {len(data)}"
                    raise ShortReadError(message)
            except self._retriable:
                if delay is None:
                    raise
                self._sleep(delay)
            else:
                return data
        raise AssertionError


def buffered(size: int, fetch: Fetch, **options: Any) -> io.BufferedReader:
    """A buffered stream over the ranges, its first range already there."""
    raw = ChunkedReader(size, fetch, **options)
    raw.prefetch()
    return io.BufferedReader(raw, buffer_size=256 * 1024)
