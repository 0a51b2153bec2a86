"""Headers that every answer has, whatever route gave it.

Belongs here: what browsers are told not to do with an answer. Does not: who may ask
(``access.py``), how large a request may be (``limits.py``).
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of what is no page: nothing of it is to be drawn, run or framed.
NOTHING = "default-src 'none'; frame-ancestors 'none'"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: a form of ours would then be sent with the origin `null`.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": NOTHING,
}
#: As servers are given them.
_RAW = [(name.lower().encode(), value.encode()) for name, value in ALWAYS.items()]


class Protected:
    """Adds ALWAYS where the answer does not say otherwise."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(one for one in _RAW if one[0] not in said),
                ]
            await send(message)

        await self._app(scope, receive, protected)
