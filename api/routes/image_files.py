"""Images: the files that a task has made, an item's image and the metadata of all.

Belongs here: these routes, and where the results lie. Does not: sending (``api/objects.py``), what
is known of an item (``image_lists.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.evidence import matches
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.images import answers
from assets.images.settings import ImagesSettings
from landing.stores.base import ObjectNotCurrent

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion
    from landing.stores.minio import MinioStore

router = APIRouter(prefix="/v1/images", tags=["images"], dependencies=[Depends(needs("read"))])

_BIGINT = 2**63
#: For which an address opens without a key.
_SIGNED = timedelta(minutes=5)
_KINDS = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_FORMS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
TaskId = Annotated[Name, Path(openapi_examples=examples("boots", "nobody"))]
ProductId = Annotated[int, Path(ge=0, lt=_BIGINT, openapi_examples=examples(8, 9))]


def results(clients: Clients) -> MinioStore:
    """The bucket of results."""
    return answers.results(clients.minio, ImagesSettings.current().results_bucket)


@router.get(
    "/tasks/{task_id}/items/{product_id}/image",
    response_class=Response,
    responses={
        **responses(404, 409),
        200: {"content": dict.fromkeys(_KINDS.values(), _BINARY)},
        307: {"description": "Location opens the image for five minutes, without a key."},
    },
)
async def image(
    request: Request,
    task_id: TaskId,
    product_id: ProductId,
    proxied: Annotated[
        bool,
        Query(
            description="Send it, where the store is out of the client's reach.",
            openapi_examples=examples(there=True),
        ),
    ] = False,
) -> Response:
    """The image that a task made of a product: where it is, or itself."""
    of = service.of(request)

    def found(clients: Clients) -> answers.TaskItem:
        with clients.postgres() as connection:
            answers.task(connection, task_id)
            return answers.task_item(connection, task_id, product_id)

    with _named_errors():
        item = await of.stores.ask(["postgres"], lambda: found(of.clients))
        key = answers.image_key(task_id, item)
        if not proxied:
            address = await of.stores.ask(["minio"], lambda: _signed(of.clients, key))
            return Response(
                status_code=307, headers={"Location": address, "Cache-Control": "no-store"}
            )
        kind = _KINDS[key.rpartition(".")[2]]
        return await _sent(request, key, str(item.digest), kind)


@router.get(
    "/tasks/{task_id}/manifest",
    response_class=Response,
    responses={
        **responses(404, 409),
        200: {"content": dict.fromkeys(_FORMS.values(), _BINARY)},
    },
)
async def manifest(
    request: Request,
    task_id: TaskId,
    form: Annotated[answers.ManifestForm, Query(alias="format")] = "csv",
) -> Response:
    """A task's metadata file, with a row of every product, once the task is done."""
    of = service.of(request)

    def found(clients: Clients) -> answers.Manifest:
        with clients.postgres() as connection:
            return answers.manifest(connection, task_id, form)

    with _named_errors():
        said = await of.stores.ask(["postgres"], lambda: found(of.clients))
        name = f'attachment; filename="metadata.{form}"'
        return await _sent(
            request, said.key, said.sha256, _FORMS[form], {"Content-Disposition": name}
        )


async def _sent(
    request: Request, key: str, digest: str, kind: str, more: dict[str, str] | None = None
) -> Response:
    """The object, or 304. Raises KeyError or ObjectNotCurrent where there is none."""
    tag = f'"{digest}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    of = service.of(request)
    return await of.objects.response(
        of.stores, "minio", lambda: _lying(of.clients, key),
        media_type=kind, headers={**headers, **(more or {})},
    )  # fmt: skip


def _lying(clients: Clients, key: str) -> tuple[MinioStore, ObjectVersion]:
    store = results(clients)
    version = store.stat(key)
    if version is None:
        raise KeyError(key)
    return store, version


def _signed(clients: Clients, key: str) -> str:
    store, _ = _lying(clients, key)
    address: str = clients.minio.presigned_get_object(store.bucket, key, expires=_SIGNED)
    return address


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
    except answers.NoImageError as error:
        status: Any = error.status
        raise ProblemError(
            404 if status else 409, "no_image", "The product has no image", str(error),
            then="POST /v1/images/tasks/{task_id}/retry once another image of it has landed."
            if status else "Ask again once the task is done.",
            item_status=status,
        ) from None  # fmt: skip
    except answers.NoManifestError as error:
        raise ProblemError(
            409, "wrong_state", "The task is not done", str(error),
            then="Ask again once GET /v1/images/tasks/{task_id} says done or done_with_skips.",
        ) from None  # fmt: skip
    except (KeyError, ObjectNotCurrent):
        raise ProblemError(
            404, "file_lost", "The file is gone", "the bucket of results does not have it any more",
            then="Run the task's partition of the job images again: what is lost is made again.",
        ) from None  # fmt: skip
