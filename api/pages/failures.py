"""Errors as pages: what is wrong, and where to go from there.

Belongs here: which errors are pages. Does not: what is wrong (``api/problems.py``), where people go
from there (``remedies.py``).
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api import problems
from api.pages.remedies import further
from api.pages.rendering import page
from api.problems import Problem, ProblemError


def add_handlers(app: FastAPI, drawn: Collection[Any]) -> None:
    """Errors of the endpoints ``drawn`` are pages; to browsers, of addresses without any, too."""

    async def handled(request: Request, error: Exception) -> Response:
        problem, headers = problems.told(request, error)
        route = request.scope.get("route")
        if getattr(route, "endpoint", None) in drawn or (route is None and _is_browser(request)):
            return _failed(request, problem, dict(headers))
        return problems.response(problem, headers)

    for kind in (ProblemError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handled)


def _failed(request: Request, problem: Problem, headers: dict[str, str]) -> Response:
    if problem.status == HTTPStatus.UNAUTHORIZED:
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return page(
            request, "sign_in.html", 401, headers, problem=None,
            back=back if request.method == "GET" else "/",
        )  # fmt: skip
    said, link = further(problem)
    return page(
        request, "failed.html", problem.status, headers, problem=problem, said=said, link=link,
        errors=(problem.model_extra or {}).get("errors", []),
    )  # fmt: skip


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")
