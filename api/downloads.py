"""A whole list as a file, sent while it is read.

Belongs here: threads, how many at once, what becomes of one that breaks off. Does not: how rows are
spelled (``tabular.py``), which list (the routes).

Blocks of rows are read one by one as the client takes them, so that memory is that of a block. A
download that breaks off lacks its last line, and its connection is closed before the end that HTTP
asks for: both the file and the client can tell.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api import tabular
from api.problems import unavailable
from assets.pipelines import without_secrets

if TYPE_CHECKING:
    from api.stores import Stores

log = logging.getLogger("quintet.api")

#: Each holds a connection of the pool, of which questions need most.
AT_ONCE = 4
#: After which one is cut off, however steadily it is read.
MOST_SECONDS = 3_600.0
_RETRY_SECONDS = 5

Blocks = Iterator[list[Sequence[Any]]]
#: Opens what is read from for the time of the download.
Opening = Callable[[], AbstractContextManager[Blocks]]


class DownloadBrokenError(Exception):
    """Raised into the server, which then closes the connection before its proper end."""


class _Reading:
    """One list that is being read: from any thread, by one at a time, until it is closed."""

    def __init__(self, opening: Opening) -> None:
        self._opening, self._stack, self._lock = opening, ExitStack(), threading.Lock()
        self._blocks: Blocks | None = None
        self._closed = False

    def next(self) -> list[Sequence[Any]]:
        """The next block; empty behind the last. Raises what reading does."""
        with self._lock:
            if self._closed:
                return []
            if self._blocks is None:
                self._blocks = self._stack.enter_context(self._opening())
            return next(self._blocks, [])

    def close(self) -> None:
        """Give up what it reads from."""
        with self._lock:
            self._closed = True
            blocks: Any = self._blocks
            with self._stack:
                if blocks is not None:
                    blocks.close()


class Downloads:
    """Those of one service."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="download")
        self._open = 0

    async def response(
        self,
        stores: Stores,
        perhaps: Sequence[str],
        opening: Opening,
        *,
        columns: Sequence[str],
        form: tabular.Format,
        name: str,
        headers: Mapping[str, str],
    ) -> StreamingResponse:
        """The list as a file of that name.

        Its first block is a question like any other: raises as Stores.ask and what it does.
        """
        if self._open >= AT_ONCE:
            raise unavailable(
                "the service", f"{AT_ONCE} lists are being downloaded", _RETRY_SECONDS
            )
        self._open += 1
        reading = _Reading(opening)
        try:
            first = await stores.ask(["postgres"], reading.next, perhaps=perhaps)
        except BaseException:
            self._ended(reading)
            raise
        return _Download(
            self._text(reading, first, columns, form),
            lambda: self._ended(reading),
            media_type=f"{tabular.MEDIA_TYPES[form]}; charset=utf-8",
            headers={
                **headers,
                "Content-Disposition": f'attachment; filename="{name}.{form}"',
                "Cache-Control": "private, no-store",
            },
        )

    def close(self) -> None:
        """Give up threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, reading: _Reading) -> None:
        self._open -= 1
        self._pool.submit(_closed, reading)

    async def _text(
        self,
        reading: _Reading,
        block: list[Sequence[Any]],
        columns: Sequence[str],
        form: tabular.Format,
    ) -> AsyncIterator[bytes]:
        header, rows, end = tabular.WRITERS[form]
        late, sent = time.monotonic() + MOST_SECONDS, 0
        loop = asyncio.get_running_loop()
        try:
            yield header(columns)
            while block:
                yield rows(columns, block)
                sent += len(block)
                _require_time(late)
                block = await loop.run_in_executor(self._pool, reading.next)
        except Exception as error:  # noqa: BLE001  whatever it is, the file has no last line
            said = without_secrets(str(error).strip() or type(error).__name__, os.environ)
            log.warning("download_broken rows=%d error=%s", sent, said.splitlines()[0])
            raise DownloadBrokenError("the list could not be read to its end") from None
        yield end(columns, sent)


class _Download(StreamingResponse):
    """Ends what it reads from, however it ends itself."""

    def __init__(
        self, content: AsyncIterator[bytes], ended: Callable[[], None], **told: Any
    ) -> None:
        super().__init__(content, **told)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


def _require_time(late: float) -> None:
    if time.monotonic() > late:
        raise DownloadBrokenError(f"it took longer than {MOST_SECONDS:g} s")


def _closed(reading: _Reading) -> None:
    """What closing raises is nobody's any more: the connection is checked when it is used next."""
    try:
        reading.close()
    except Exception as error:  # noqa: BLE001
        log.info("download_closed error=%s", type(error).__name__)
