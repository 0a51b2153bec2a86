"""Images: lists of tasks, of a task's items, and of what a request may ask for.

Belongs here: these routes. Does not: the lists (``assets/images/listed.py``), one task
(``images.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import lists, service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.lists import Asked, Rows
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.images import answers

router = APIRouter(prefix="/v1/images", tags=["images"], dependencies=[Depends(needs("read"))])

_BIGINT = 2**63
TaskId = Annotated[Name, Path(openapi_examples=examples("shoes", "nobody"))]
ProductId = Annotated[int, Path(ge=0, lt=_BIGINT, openapi_examples=examples(7, 8))]
AskedFor = Annotated[Asked, Depends(lists.asked)]


@router.get(
    "/tasks", response_model=Answered[Rows[answers.ListedTask]], responses=lists.responses()
)
async def tasks(
    request: Request, asked: AskedFor, state: Annotated[answers.State | None, Query()] = None
) -> Response:
    """The tasks, those that were asked for last before others, without their items by outcome."""
    return await lists.answer(
        request, asked, answers.listed_tasks(state), name="tasks", rests_on=answers.rests_on
    )


@router.get(
    "/tasks/{task_id}/items",
    response_model=Answered[Rows[answers.TaskItem]],
    responses=lists.responses(404),
)
async def items(
    request: Request,
    asked: AskedFor,
    task_id: TaskId,
    status: Annotated[
        answers.ItemState | None, Query(description="`not_ok`: all that have no image.")
    ] = None,
) -> Response:
    """A task's products with what the catalogue says of them, and what came of each."""
    with _named_errors():
        return await lists.answer(
            request,
            asked,
            answers.task_items(task_id, status),
            name="items",
            rests_on=answers.rests_on,
            first=lambda connection: answers.task(connection, task_id),
        )


@router.get(
    "/tasks/{task_id}/items/{product_id}",
    response_model=Answered[answers.TaskItem],
    responses=responses(404),
)
async def item(request: Request, task_id: TaskId, product_id: ProductId) -> Response:
    """One product of a task: its metadata, and what came of it."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            answers.task(connection, task_id)
            return answers.task_item(connection, task_id, product_id)

    with _named_errors():
        return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)


@router.get(
    "/catalogue/values",
    response_model=Answered[Rows[answers.FilterValue]],
    responses=lists.responses(),
)
async def values(
    request: Request,
    asked: AskedFor,
    field: Annotated[answers.FilterField | None, Query(description="Else of all fields.")] = None,
) -> Response:
    """What a request may ask for: the values that products have, and how many have each."""
    return await lists.answer(
        request, asked, answers.filter_values(field), name="values", rests_on=answers.rests_on
    )


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except answers.UnknownTaskError as error:
        raise ProblemError(
            404, "unknown_task", "There is no such task", str(error),
            then="GET /v1/images/tasks lists them.",
        ) from None  # fmt: skip
    except answers.UnknownItemError as error:
        raise ProblemError(
            404, "unknown_item", "The task has no such product", str(error),
            then="GET /v1/images/tasks/{task_id}/items lists those that it has.",
        ) from None  # fmt: skip
