"""Files on their way through the service: how many at once, and one that is sent.

Belongs here: what uploads and contents of files have in common, sending a file's bytes. Does not:
receiving them (``uploads.py``), lists as files (``downloads.py``).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.downloads import DownloadBrokenError
from api.problems import ProblemError, unavailable

if TYPE_CHECKING:
    from api.stores import Stores
    from landing.arrival.identity import ObjectVersion
    from landing.stores.base import ObjectStore

#: Each holds some 20 MiB of what is on its way.
AT_ONCE = 8
_RETRY_SECONDS = 5
_BLOCK_BYTES = 1024 * 1024
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")


class Transfers:
    """Those of one service, and the names that files are being put under."""

    def __init__(self) -> None:
        self._open = 0
        self._names: set[str] = set()

    def begin(self) -> Callable[[], None]:
        """Take a place, to be given back once. Raises ProblemError (503) when there is none."""
        if self._open >= AT_ONCE:
            raise unavailable("the service", f"{AT_ONCE} files are on their way", _RETRY_SECONDS)
        self._open += 1
        held = ExitStack()
        held.callback(self._ended)
        return held.close

    def claim(self, name: str) -> bool:
        """Whether nobody else puts a file under the name now; it is ours then until released."""
        if name in self._names:
            return False
        self._names.add(name)
        return True

    def release(self, name: str) -> None:
        """Let others put a file under the name."""
        self._names.discard(name)

    def _ended(self) -> None:
        self._open -= 1


class Contents(StreamingResponse):
    """A file's bytes, read from its store as the client takes them.

    What breaks off has fewer bytes than Content-Length says. ``ended`` is called once.
    """

    def __init__(
        self,
        stores: Stores,
        system: str,
        opened: tuple[ObjectStore, ObjectVersion],
        *,
        name: str,
        headers: dict[str, str],
        ended: Callable[[], None],
    ) -> None:
        self._ended = ended
        store, version = opened
        super().__init__(
            _blocks(stores, system, store, version),
            media_type="application/octet-stream",
            headers={
                **headers,
                "Content-Length": str(version.size),
                "Content-Disposition": disposition(name),
            },
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _blocks(
    stores: Stores, system: str, store: ObjectStore, version: ObjectVersion
) -> AsyncIterator[bytes]:
    try:
        with store.open(version) as stream:
            while block := await stores.ask([system], lambda: stream.read(_BLOCK_BYTES)):
                yield block
    except ProblemError as error:
        raise DownloadBrokenError(error.problem.detail) from None


def disposition(name: str) -> str:
    """Content-Disposition of a file to be kept under the last part of its name (RFC 6266)."""
    last = name.rpartition("/")[2] or name
    plain = _NOT_PLAIN.sub("_", last)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"
