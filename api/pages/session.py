"""Being signed in: a key of the API that a browser keeps for us.

Belongs here: the cookie, who may see a page, and that a form was sent from one of ours. Does not:
what a key is (``api/keys.py``), whether it opens (``api/access.py``).

The cookie is the key itself, which no script can read and which no other site's page can make a
browser send; nothing is kept of it here, and a key that is revoked opens nothing any more.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from fastapi import APIRouter, Cookie, Request, Response
from fastapi.responses import RedirectResponse

from api import service
from api.keys import Key, Scope
from api.pages.rendering import page
from api.problems import ProblemError

COOKIE = "quintet_key"
#: Seconds after which a browser forgets it: a working day.
KEPT_SECONDS = 12 * 3_600
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20

router = APIRouter(include_in_schema=False)


async def _admitted(request: Request, presented: str | None, scope: Scope) -> Key:
    key = await service.of(request).access.admit(presented or "", scope)
    request.state.key, request.state.key_id = key, key.key_id
    return key


async def signed_in(
    request: Request, presented: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> Key:
    """The key of whoever looks. Raises as Access.admit."""
    return await _admitted(request, presented, "read")


async def may_write(
    request: Request, presented: Annotated[str | None, Cookie(alias=COOKIE)] = None
) -> Key:
    """The key of whoever sends a form of ours that changes something. Raises as Access.admit."""
    require_own_form(request)
    return await _admitted(request, presented, "write")


def require_own_form(request: Request) -> None:
    """Raises ProblemError (403) unless the browser says that the form is on a page of ours.

    Beside the cookie's SameSite: that knows sites, this knows the port, too, and it protects the
    form of signing in, which comes without a cookie.
    """
    headers = request.headers
    told = headers.get("sec-fetch-site")
    if told == "same-origin":
        return
    if told is None and urlsplit(headers.get("origin", "")).netloc == headers.get("host", "-"):
        return
    raise ProblemError(
        403, "foreign_form", "The form is not ours",
        "the browser does not say that this form was sent from a page of this service",
        then="Open the page here, and send its form again.",
    )  # fmt: skip


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form. Raises ProblemError (415, 422) for what is none."""
    if request.headers.get("content-type", "").split(";")[0].strip() != _FORM:
        raise ProblemError(
            415, "unsupported_media_type", "Not a form", f"a form is sent as {_FORM}",
            then="Send the form of the page.",
        )  # fmt: skip
    try:
        body = (await request.body()).decode("ascii")
        return dict(parse_qsl(body, max_num_fields=_MOST_FIELDS, errors="strict"))
    except ValueError:
        raise ProblemError(
            422, "invalid_request", "The form cannot be understood", "no form looks like this",
            then="Send the form of the page.",
        ) from None  # fmt: skip


@router.get("/sign-in")
async def sign_in_form(request: Request) -> Response:
    """Where a key is given."""
    return page(request, "sign_in.html", back="/", problem=None)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Let the browser keep a key that opens pages."""
    require_own_form(request)
    given = await fields(request)
    back = own_path(given.get("back", "/"))
    presented = given.get("key", "").strip()
    try:
        await _admitted(request, presented, "read")
    except ProblemError as error:
        if error.problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        request.state.key = None
        status = error.problem.status
        return page(request, "sign_in.html", status, back=back, problem=error.problem)
    done = RedirectResponse(back, HTTPStatus.SEE_OTHER)
    done.set_cookie(
        COOKIE, presented, max_age=KEPT_SECONDS, httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
    return done


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Let the browser forget the key."""
    require_own_form(request)
    done = RedirectResponse("/sign-in", HTTPStatus.SEE_OTHER)
    done.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return done


def own_path(asked: str) -> str:
    """Where to go on after signing in: a page of ours, whatever was asked for."""
    parts = urlsplit(asked)
    plain = asked.isascii() and asked.isprintable() and "\\" not in asked
    ours = plain and asked.startswith("/") and not asked.startswith("//")
    return asked if ours and not parts.scheme and not parts.netloc else "/"
