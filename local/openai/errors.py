"""Refusals in OpenAI's words.

Belongs here: status, type, code and text of each. Does not: when one is due.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

#: Status, type, code and message by kind of fault.
_REFUSALS: dict[str, tuple[int, str, str | None, str]] = {
    "400": (400, "invalid_request_error", None, "The request was refused on purpose."),
    "401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "403": (
        403,
        "request_forbidden",
        "unsupported_country_region_territory",
        "Country, region, or territory not supported",
    ),
    "408": (408, "server_error", "request_timeout", "The request timed out."),
    "409": (
        409,
        "invalid_request_error",
        "conflict",
        "The resource was updated by another request.",
    ),
    "429": (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    "500": (500, "server_error", None, "The server had an error while processing your request."),
    "503": (503, "service_unavailable_error", None, "The engine is currently overloaded."),
    "insufficient_quota": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}


class RefusedError(Exception):
    """A request that is answered with ``status`` and OpenAI's error body."""

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message
        self.code, self.param, self.headers = code, param, headers

    def body(self) -> dict[str, Any]:
        """The error in OpenAI's shape."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind,
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> Response:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def refusal(kind: str, *, retry_after: float | None = None) -> RefusedError:
    """The refusal of a kind of fault; ``retry_after`` in seconds where it is a plain 429."""
    status, error_type, code, message = _REFUSALS[kind]
    headers = {"Retry-After": f"{retry_after:g}"} if kind == "429" and retry_after else None
    return RefusedError(status, error_type, message, code=code, headers=headers)


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> RefusedError:
    """400 for what a request says."""
    return RefusedError(400, "invalid_request_error", message, param=param, code=code)


def not_found(message: str) -> RefusedError:
    """404 for an object that is not there."""
    return RefusedError(404, "invalid_request_error", message, param="id")
