"""Images: requests that come in, and those of tasks that are put again.

Belongs here: these routes. Does not: what a request may say, where it is put
(``assets/images/tasks/submitting.py``), how a task gets on (``images.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.limits import BODY_BYTES
from api.parameters import Name, examples
from api.problems import ProblemError, responses, sendable
from api.routes.images import inbox
from assets.images import answers

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

router = APIRouter(prefix="/v1/images", tags=["images"], dependencies=[Depends(needs("write"))])

T = TypeVar("T")
TaskId = Annotated[Name, Path(openapi_examples=examples("boots", "nobody", 202))]
_NEEDED = ["postgres", "minio"]
_BODY = {
    "requestBody": {
        "required": True,
        "description": f"As a request file has it, of at most {BODY_BYTES:,} bytes.",
        "content": {
            "application/json": {
                "schema": answers.request_schema(),
                "example": {"task": "men", "gender": "Men"},
            }
        },
    }
}


@router.post(
    "/tasks",
    status_code=202,
    responses={200: {"model": answers.Submitted}, **responses(409, 413)},
    openapi_extra=_BODY,
)
async def submit(request: Request, response: Response) -> answers.Submitted:
    """Ask for images. 202: a run will take the request; 200: it is a task already.

    The same request is the same task, so that sending it again does nothing twice.
    """
    data = await request.body()
    with _named_errors():
        found = await _told(request, lambda box, connection: box.submit(connection, data))
    if found.state != "submitted":
        response.status_code = HTTPStatus.OK
    response.headers["Location"] = f"/v1/images/tasks/{quote(found.task_id, safe='')}"
    return found


@router.post("/tasks/{task_id}/retry", status_code=202, responses=responses(404, 409))
async def retry(request: Request, task_id: TaskId) -> answers.Retried:
    """Let a run do what failed of a task and can be done now: its request is put again.

    That is what is left of a task that failed, and of one that is done the products without an
    image of which another one has landed since. What is made stays as it is.
    """
    with _named_errors():
        return await _told(request, lambda box, connection: box.retry(connection, task_id))


async def _told(request: Request, word: Callable[[answers.Inbox, Connection], T]) -> T:
    of = service.of(request)

    def told(clients: Clients) -> T:
        with clients.postgres() as connection:
            return word(inbox(clients), connection)

    return await of.stores.ask(_NEEDED, lambda: told(of.clients))


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except answers.RefusedRequestError as error:
        said = [sendable(one) for one in error.problems]
        raise ProblemError(
            422, "invalid_request", "The request cannot be done", "; ".join(said),
            then="Correct what `errors` names; GET /v1/images/catalogue/values lists what a"
            " request may ask for.",
            reason=error.code, errors=[{"in": "body", "name": "", "says": one} for one in said],
        ) from None  # fmt: skip
    except answers.NoProductsError as error:
        raise ProblemError(
            409, "nothing_loaded", "Nothing is loaded yet", str(error),
            then="Send it again once a catalogue is loaded; GET /v1/operations/sources says what"
            " waits.",
        ) from None  # fmt: skip
    except answers.NameTakenError as error:
        raise ProblemError(
            409, "name_taken", "Another request has the name", str(error),
            then="Send it under another name in `task`, or without one.",
        ) from None  # fmt: skip
    except answers.NothingToRetryError as error:
        raise ProblemError(
            409, "wrong_state", "There is nothing to try again", str(error),
            then="GET /v1/images/tasks/{task_id} says how it gets on, and /items?status=not_ok"
            " what failed.",
        ) from None  # fmt: skip
    except answers.UnknownTaskError as error:
        raise ProblemError(
            404, "unknown_task", "There is no such task", str(error),
            then="GET /v1/images/tasks lists them.",
        ) from None  # fmt: skip
