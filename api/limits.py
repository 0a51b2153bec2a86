"""How large a request may be.

Belongs here: refusing what is larger before it is read. Does not: how often one may ask
(``access.py``).
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, response

#: Bytes of a body where the route has no limit of its own, and characters of a path with its query.
BODY_BYTES = 1024 * 1024
TARGET_CHARACTERS = 8_192

#: Methods of which no route reads a body; the server throws one away.
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class _TooLargeError(Exception):
    """The body has more bytes than a body may have."""


class Bounded:
    """Refuses bodies and targets that are too large: 413, 414.

    ``larger`` are bytes of a body of routes that take more, by method and path.
    """

    def __init__(self, app: ASGIApp, larger: Mapping[tuple[str, str], int] | None = None) -> None:
        self._app, self._larger = app, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope["raw_path"] or b"") + len(scope["query_string"]) > TARGET_CHARACTERS:
            await _refused(414, "target_too_long", "The address is too long")(scope, receive, send)
            return
        if scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        most = self._larger.get((scope["method"], scope["path"]), BODY_BYTES)
        if _announced(Headers(scope=scope)) > most:
            await _too_large(most)(scope, receive, send)
            return
        began = False
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, bounded, noted)
        except _TooLargeError:
            if began:
                raise
            await _too_large(most)(scope, receive, send)


def _announced(headers: Headers) -> int:
    """Bytes of the body as Content-Length says; 0 where it comes in chunks."""
    said = headers.get("content-length", "")
    return int(said) if said.isascii() and said.isdigit() else 0


def _too_large(most: int) -> ASGIApp:
    return _refused(413, "body_too_large", "The body is too large", most)


def _refused(status: int, code: str, title: str, most: int = BODY_BYTES) -> ASGIApp:
    return response(
        Problem(
            type=f"urn:quintet:problem:{code}",
            title=title,
            status=status,
            code=code,
            detail=f"at most {most:,} bytes of body and {TARGET_CHARACTERS:,} of address",
            next="Send less in one request.",
        )
    )
