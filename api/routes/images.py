"""Images: how a task gets on, and an operator's word to it.

Belongs here: these routes. Does not: lists (``image_lists.py``), the answers
(``assets/images/answers.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request

from api import service
from api.access import needs
from api.clients import Clients
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.images import answers

router = APIRouter(prefix="/v1/images", tags=["images"])

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

T = TypeVar("T")
TaskId = Annotated[Name, Path(openapi_examples=examples("shoes", "nobody"))]
CancelledTaskId = Annotated[Name, Path(openapi_examples=examples("boots", "nobody"))]
_READ = [Depends(needs("read"))]
_WRITE = [Depends(needs("write"))]


@router.get("/tasks/{task_id}", dependencies=_READ, responses=responses(404))
async def task(request: Request, task_id: TaskId) -> answers.TaskStatus:
    """How a task gets on."""
    return await _asked(request, lambda connection: answers.task(connection, task_id))


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

    return await _asked(request, told)


async def _asked(request: Request, question: Callable[[Connection], T]) -> T:
    def found(clients: Clients) -> T:
        with clients.postgres() as connection:
            return question(connection)

    of = service.of(request)
    try:
        return await of.stores.ask(["postgres"], lambda: found(of.clients))
    except answers.UnknownTaskError as error:
        raise ProblemError(
            404, "unknown_task", "There is no such task", str(error),
            then="GET /v1/images/tasks lists them.",
        ) from None  # fmt: skip
