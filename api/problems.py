"""Errors as RFC 9457 problem details: a code, what is wrong, and what to do next.

Belongs here: the kinds of problems, and turning every error into one. Does not: deciding that a
store is away (``stores.py``).

``type`` is ``urn:quintet:problem:<code>`` and stable; ``detail`` is for people and may change.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from assets.pipelines import without_secrets

log = logging.getLogger("quintet.api")

MEDIA_TYPE = "application/problem+json"
_URN = "urn:quintet:problem:"


class Problem(BaseModel):
    """What a client gets instead of an answer (RFC 9457, section 3.1), and two members of ours."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:quintet:problem:unknown_user"])
    title: str = Field(examples=["There is no such user"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no event of user 'u-1'"])
    code: str = Field(examples=["unknown_user"])
    next: str = Field(
        description="What to do next.",
        examples=["GET /v1/campaigns/users/{user_id} of a user that a loaded file names."],
    )


class ProblemError(Exception):
    """Raised by a route; becomes the response."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        then: str,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=_URN + code, title=title, status=status, detail=detail, code=code, next=then,
            **members,
        )  # fmt: skip
        self.headers = dict(headers or {})


def unavailable(system: str, detail: str, after: int) -> ProblemError:
    """503: a system that the answer needs is away or does not answer in time."""
    return ProblemError(
        503,
        "store_unavailable",
        f"{system} is not available",
        detail,
        then=f"Ask again in {after} s; GET /v1/health/ready says which systems are there.",
        headers={"Retry-After": str(after)},
        system=system,
        retry_after_seconds=after,
    )


#: What to do about an error of the protocol, by status.
_THEN = {
    404: "GET /openapi.json lists the routes.",
    405: "The header Allow names the methods that this route has.",
    413: "Send less in one request.",
}
#: The problems that every route may have, for OpenAPI.
ALWAYS = (401, 403, 414, 422, 429, 503, 504)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a route's problems; those of every route are added."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({*statuses, *ALWAYS})
    }


def add_handlers(app: FastAPI) -> None:
    """Let no error leave as anything else."""
    for kind in (ProblemError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _as_problem)


def response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The problem as it is sent."""
    return JSONResponse(
        problem.model_dump(), problem.status, dict(headers or {}), media_type=MEDIA_TYPE
    )


def told(request: Request, error: Exception) -> tuple[Problem, Mapping[str, str]]:
    """What a client is told of any error, and with which headers."""
    if isinstance(error, ProblemError):
        return error.problem, error.headers
    if isinstance(error, RequestValidationError):
        return _of_validation(error), {}
    if isinstance(error, HTTPException):
        return _of_protocol(request, error), error.headers or {}
    return _of_bug(request, error), {}


async def _as_problem(request: Request, error: Exception) -> JSONResponse:
    return response(*told(request, error))


def _of_validation(error: RequestValidationError) -> Problem:
    found = [
        {"in": str(one["loc"][0]), "name": ".".join(map(str, one["loc"][1:])), "says": one["msg"]}
        for one in error.errors()
    ]
    said = "; ".join(f"{one['name'] or one['in']}: {one['says']}" for one in found)
    members: dict[str, Any] = {
        "errors": [{name: sendable(value) for name, value in one.items()} for one in found]
    }
    return Problem(
        type=_URN + "invalid_request",
        title="The request cannot be understood",
        status=422,
        detail=sendable(said),
        code="invalid_request",
        next="Correct what `errors` names; GET /openapi.json describes every parameter.",
        **members,
    )


def _of_protocol(request: Request, error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    return Problem(
        type=_URN + phrase.lower().replace(" ", "_"),
        title=phrase,
        status=error.status_code,
        detail=f"{request.method} {sendable(request.url.path)}: {phrase.lower()}",
        code=phrase.lower().replace(" ", "_"),
        next=_THEN.get(error.status_code, "GET /openapi.json lists the routes."),
    )


def _of_bug(request: Request, error: Exception) -> Problem:
    """What nobody foresaw: logged whole, without secrets; the client learns that it is ours."""
    said = without_secrets(f"{type(error).__name__}: {error}", os.environ)
    log.error("request_failed method=%s route=%s error=%s", request.method, _route(request), said)
    return Problem(
        type=_URN + "internal_error",
        title="The service failed",
        status=500,
        detail="The request is not at fault. The service's log has what happened.",
        code="internal_error",
        next="Ask again; if it fails again, tell who operates the service.",
    )


def _route(request: Request) -> str:
    route = request.scope.get("route")
    return getattr(route, "path", "unknown")


def sendable(text: str) -> str:
    """A text that can be sent as UTF-8, whatever was asked."""
    return text.encode("utf-8", "backslashreplace").decode()
