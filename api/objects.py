"""Objects of a bucket as answers: sent in blocks as they are read, of one version.

Belongs here: bounded memory, that what breaks off can be told, what a file is to be called. Does
not: which object it is, lists (``downloads.py``).

An object is sent with its length: of one that breaks off, a client sees that bytes are missing.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.problems import unavailable
from assets.pipelines import without_secrets

if TYPE_CHECKING:
    from api.stores import Stores
    from landing.arrival.identity import ObjectVersion
    from landing.stores.base import ObjectStore

log = logging.getLogger("quintet.api")

#: Each holds a connection, and a block of so many bytes.
AT_ONCE = 16
_BLOCK_BYTES = 256 * 1024
#: After which one is cut off, however steadily it is read.
_MOST_SECONDS = 3_600.0
_RETRY_SECONDS = 2
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class ObjectBrokenError(Exception):
    """Raised into the server, which then closes the connection before its proper end."""


class Objects:
    """Those that one service is sending."""

    def __init__(self) -> None:
        self._open = 0

    async def response(
        self,
        stores: Stores,
        system: str,
        found: Callable[[], tuple[ObjectStore, ObjectVersion]],
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> StreamingResponse:
        """The object that is found; it and its first block are a question like any other.

        Raises ObjectNotCurrent for one that is not there any more, what ``found`` does, and as
        Stores.ask.
        """
        if self._open >= AT_ONCE:
            raise unavailable("the service", f"{AT_ONCE} files are being sent", _RETRY_SECONDS)
        self._open += 1
        stack = ExitStack()
        try:
            size, stream, first = await stores.ask([system], lambda: _opened(found, stack))
        except BaseException:
            self._open -= 1
            raise
        return _Sent(
            _blocks(stream, first),
            lambda: self._ended(stack),
            media_type=media_type,
            headers={**headers, "Content-Length": str(size)},
        )

    def _ended(self, stack: ExitStack) -> None:
        self._open -= 1
        stack.close()


class _Sent(StreamingResponse):
    """Gives up what it reads from, however it ends itself."""

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


def _opened(
    found: Callable[[], tuple[ObjectStore, ObjectVersion]], stack: ExitStack
) -> tuple[int, Any, bytes]:
    bucket, version = found()
    stream = stack.enter_context(bucket.open(version))
    return version.size, stream, stream.read(_BLOCK_BYTES)


def disposition(name: str) -> str:
    """Content-Disposition of a file to be kept under the last part of its name (RFC 6266)."""
    last = name.rpartition("/")[2] or name
    plain = _NOT_PLAIN.sub("_", last)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"


async def _blocks(stream: Any, block: bytes) -> AsyncIterator[bytes]:
    late = time.monotonic() + _MOST_SECONDS
    try:
        while block:
            yield block
            _require_time(late)
            block = await to_thread.run_sync(stream.read, _BLOCK_BYTES)
    except Exception as error:  # noqa: BLE001  whatever it is, bytes are missing
        said = without_secrets(str(error).strip() or type(error).__name__, os.environ)
        log.warning("object_broken error=%s", said.splitlines()[0])
        raise ObjectBrokenError("the object could not be read to its end") from None


def _require_time(late: float) -> None:
    if time.monotonic() > late:
        raise TimeoutError(f"it took longer than {_MOST_SECONDS:g} s")
