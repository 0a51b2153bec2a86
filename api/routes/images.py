"""Images: how a task gets on, and an operator's word to it.

Belongs here: these routes. Does not: lists (``image_lists.py``), the answers
(``assets/images/answers.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request

from api import service
from api.access import needs
from api.clients import Clients
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.images import answers
from assets.images.settings import RequestPlaces

router = APIRouter(prefix="/v1/images", tags=["images"])

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

T = TypeVar("T")
TaskId = Annotated[Name, Path(openapi_examples=examples("shoes", "nobody"))]
CancelledTaskId = Annotated[Name, Path(openapi_examples=examples("sandals", "nobody"))]
_READ = [Depends(needs("read"))]
_WRITE = [Depends(needs("write"))]


@router.get("/tasks/{task_id}", dependencies=_READ, responses=responses(404))
async def task(request: Request, task_id: TaskId) -> answers.TaskStatus:
    """How a task gets on; ``submitted`` while no run has taken its request."""
    of = service.of(request)
    with _named_errors():
        try:
            return await _asked(request, lambda connection: answers.task(connection, task_id))
        except answers.UnknownTaskError:
            return await of.stores.ask(
                ["minio"], lambda: answers.submitted(inbox(of.clients), task_id)
            )


def inbox(clients: Clients) -> answers.Inbox:
    """Where requests that come in are put."""
    places = RequestPlaces.current()
    return answers.Inbox(answers.results(clients.minio, places.bucket), places.prefix)


@router.post("/tasks/{task_id}/cancel", dependencies=_WRITE, responses=responses(404, 409))
async def cancel(request: Request, task_id: TaskId) -> answers.TaskStatus:
    """Let a task end where it is."""
    return await _told(request, task_id, answers.cancel, "has ended")


@router.post("/tasks/{task_id}/resume", dependencies=_WRITE, responses=responses(404, 409))
async def resume(request: Request, task_id: CancelledTaskId) -> answers.TaskStatus:
    """Let a cancelled task go on with its next run."""
    return await _told(request, task_id, answers.resume, "is not cancelled")


async def _told(request: Request, task_id: str, word: Any, refused: str) -> answers.TaskStatus:
    def told(connection: Any) -> answers.TaskStatus:
        if not word(connection, task_id):
            raise ProblemError(
                409, "wrong_state", "The task is in another state", f"task {task_id!r} {refused}",
                then="GET /v1/images/tasks/{task_id} says how it gets on.",
            )  # fmt: skip
        return answers.task(connection, task_id)

    with _named_errors():
        return await _asked(request, told)


async def _asked(request: Request, question: Callable[[Connection], T]) -> T:
    def found(clients: Clients) -> T:
        with clients.postgres() as connection:
            return question(connection)

    of = service.of(request)
    return await of.stores.ask(["postgres"], lambda: found(of.clients))


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except answers.UnknownTaskError as error:
        raise ProblemError(
            404, "unknown_task", "There is no such task", str(error),
            then="GET /v1/images/tasks lists them.",
        ) from None  # fmt: skip
