"""Tasks of images: the latest ones, and one as a contact sheet with what could not be made.

Belongs here: these pages, thumbnails, an operator's word sent by a form. Does not: the answers
(``assets/images/answers.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from api import service
from api.clients import Clients
from api.pages import parts
from api.pages.rendering import address, page
from api.pages.session import fields, may_write, signed_in
from api.parameters import Name
from api.problems import ProblemError
from api.routes import images as routes
from assets.images import answers
from assets.images.settings import ImagesSettings

router = APIRouter(include_in_schema=False)

T = TypeVar("T")
#: Items of one page.
ITEMS = 60
DRAWN_AT_ONCE = 4
_NUMBERS = 2**62
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
    (found,) = await parts.asked(routes.tasks(parts.bare(request), limit=50))
    status, headers = parts.status([found])
    return page(request, "images.html", status, headers, tasks=found)


@router.get("/images/task", dependencies=_SEEN)
async def task(
    request: Request,
    task: Annotated[Name, Query()],
    after: Annotated[int, Query(ge=0, le=_NUMBERS)] = 0,
) -> Response:
    """How a task gets on, and what came of its items, a page at a time."""
    one, items = await parts.asked(
        routes.task(parts.bare(request), task),
        _asked(request, lambda clients: _items(clients, task, after)),
    )
    status, headers = parts.status([one, items])
    shown = (items.answer or [])[:ITEMS]
    more = shown[-1]["number"] if len(items.answer or []) > ITEMS else None
    return page(
        request, "task.html", status, headers, task=task, after=after, one=one, items=items,
        shown=shown, more=more,
    )  # fmt: skip


@router.get("/images/thumbnail", dependencies=_SEEN)
async def thumbnail(
    request: Request,
    task: Annotated[Name, Query()],
    number: Annotated[int, Query(ge=1, le=_NUMBERS)],
) -> Response:
    """A small picture of an item's result."""
    found = await _asked(request, lambda clients: _items(clients, task, number - 1, 1))
    if not found or found[0].number != number:
        return _NO_PICTURE
    tag = f'"{found[0].digest}"'
    headers = {"ETag": tag, "Cache-Control": _CACHED}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    try:
        # Each may hold a decoded picture: a sheet asks for dozens at once.
        async with request.app.state.drawing:
            drawn = await _asked(request, lambda clients: _drawn(clients, task, found[0]), "minio")
    except LookupError:
        return _NO_PICTURE
    return Response(drawn, media_type="image/jpeg", headers=headers)


@router.post("/images/task/{word}", dependencies=[Depends(may_write)])
async def told(request: Request, word: Literal["cancel", "resume"]) -> Response:
    """An operator's word to a task, then its page."""
    name = (await fields(request)).get("task", "")
    await _WORDS[word](parts.bare(request), name)
    return RedirectResponse(address("/images/task", task=name), HTTPStatus.SEE_OTHER)


def _items(clients: Clients, task: str, after: int, limit: int = ITEMS + 1) -> Any:
    with clients.postgres() as connection:
        return answers.page_of_items(connection, task, after, limit)


def _drawn(clients: Clients, task: str, item: answers.TaskItem) -> bytes:
    store = answers.results(clients.minio, ImagesSettings.current().results_bucket)
    return answers.thumbnail(store.get, task, item)


async def _asked(request: Request, question: Callable[[Clients], T], system: str = "postgres") -> T:
    of = service.of(request)
    try:
        return await of.stores.ask([system], lambda: question(of.clients))
    except answers.UnknownTaskError as error:
        raise ProblemError(
            404, "unknown_task", "There is no such task", str(error),
            then="GET /v1/images/tasks lists the latest ones.",
        ) from None  # fmt: skip
