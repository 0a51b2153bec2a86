"""How large a request may be.

Belongs here: refusing what is larger before it is read. Does not: how often one may ask
(``access.py``).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import Problem, response

#: Bytes of a body, and characters of a path with its query.
BODY_BYTES = 1024 * 1024
TARGET_CHARACTERS = 8_192

#: Methods of which no route reads a body; the server throws one away.
_WITHOUT_BODY = frozenset({"GET", "HEAD"})


class _TooLargeError(Exception):
    """The body has more bytes than a body may have."""


class Bounded:
    """Refuses bodies and targets that are too large: 413, 414."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
        began = False
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > BODY_BYTES:
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
            await _refused(413, "body_too_large", "The body is too large")(scope, receive, send)


def _refused(status: int, code: str, title: str) -> ASGIApp:
    return response(
        Problem(
            type=f"urn:quintet:problem:{code}",
            title=title,
            status=status,
            code=code,
            detail=f"at most {BODY_BYTES:,} bytes of body and {TARGET_CHARACTERS:,} of address",
            next="Send less in one request.",
        )
    )
