"""Tasks of images: the latest ones, and one as a contact sheet with what could not be made.

Belongs here: these pages, thumbnails, an operator's word sent by a form. Does not: the answers
(``assets/images/answers.py``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import service
from api.clients import Clients
from api.lists import Asked
from api.pages import parts
from api.pages.rendering import address, page
from api.pages.session import fields, may_write, signed_in
from api.parameters import Cursor, Name
from api.routes import image_files, image_lists
from api.routes import images as routes
from assets.images import answers

router = APIRouter(include_in_schema=False)

#: Rows of one page.
TASKS, ITEMS = 50, 60
DRAWN_AT_ONCE = 4
_BIGINT = 2**63
_SEEN = [Depends(signed_in)]
_CACHED = "private, max-age=3600"
#: Drawn where there is none: browsers show an image whatever its status.
_NO_PICTURE = Response(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 84 84"><path fill="none" stroke="#808a96"'
    ' stroke-width="3" d="M24 24h36v36H24zM24 24l36 36"/></svg>',
    HTTPStatus.NOT_FOUND,
    {"Cache-Control": "no-store"},
    media_type="image/svg+xml",
)
_WORDS: dict[str, Any] = {"cancel": routes.cancel, "resume": routes.resume}


@router.get("/images", dependencies=_SEEN)
async def tasks(request: Request) -> Response:
    """The latest tasks."""
    (found,) = await parts.asked(image_lists.tasks(parts.bare(request), Asked(TASKS, None, "json")))
    status, headers = parts.status([found])
    return page(request, "images.html", status, headers, tasks=found)


@router.get("/images/task", dependencies=_SEEN)
async def task(
    request: Request,
    task: Annotated[Name, Query()],
    cursor: Annotated[Cursor | None, Query()] = None,
) -> Response:
    """How a task gets on, and what came of its items, a page at a time."""
    ask = parts.bare(request)
    one, items = await parts.asked(
        routes.task(ask, task), image_lists.items(ask, Asked(ITEMS, cursor, "json"), task)
    )
    status, headers = parts.status([one, items])
    return page(
        request, "task.html", status, headers, task=task, cursor=cursor, one=one, items=items
    )


@router.get("/images/thumbnail", dependencies=_SEEN)
async def thumbnail(
    request: Request,
    task: Annotated[Name, Query()],
    product: Annotated[int, Query(ge=0, lt=_BIGINT)],
) -> Response:
    """A small picture of an item's result."""
    of = service.of(request)
    try:
        found = await of.stores.ask(["postgres"], lambda: _item(of.clients, task, product))
    except answers.UnknownItemError:
        return _NO_PICTURE
    tag = f'"{found.digest}"'
    headers = {"ETag": tag, "Cache-Control": _CACHED}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        # Each may hold a decoded picture: a sheet asks for dozens at once.
        async with request.app.state.drawing:
            drawn = await of.stores.ask(["minio"], lambda: _drawn(of.clients, task, found))
    except LookupError:
        return _NO_PICTURE
    return Response(drawn, media_type="image/jpeg", headers=headers)


@router.post("/images/task/{word}", dependencies=[Depends(may_write)])
async def told(request: Request, word: Literal["cancel", "resume"]) -> Response:
    """An operator's word to a task, then its page."""
    name = (await fields(request)).get("task", "")
    await _WORDS[word](parts.bare(request), name)
    return RedirectResponse(address("/images/task", task=name), HTTPStatus.SEE_OTHER)


def _item(clients: Clients, task: str, product: int) -> answers.TaskItem:
    with clients.postgres() as connection:
        return answers.task_item(connection, task, product)


def _drawn(clients: Clients, task: str, item: answers.TaskItem) -> bytes:
    return answers.thumbnail(image_files.results(clients).get, task, item)
