"""Music: where each file stands, and what of it was rejected.

Belongs here: these routes. Does not: putting files in, taking them out, or their songs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import lists, service
from api.access import needs
from api.clients import Clients, quarantine
from api.evidence import Answered
from api.lists import Asked, Rows
from api.parameters import Name, ObjectName, examples
from api.problems import ProblemError, responses
from assets.music import answers
from assets.music.settings import MusicSettings
from landing.batch.rejected_rows import RejectedRow, RejectedRows

router = APIRouter(prefix="/v1/music", tags=["music"], dependencies=[Depends(needs("read"))])

_FILES = examples("songs/one.json", "nobody")
AskedFor = Annotated[Asked, Depends(lists.asked)]


@router.get("/files", response_model=Answered[Rows[answers.MusicFile]], responses=lists.responses())
async def files(
    request: Request,
    asked: AskedFor,
    state: Annotated[answers.FileState | None, Query()] = None,
    prefix: Annotated[Name | None, Query(description="What names begin with.")] = None,
    batch: Annotated[Name | None, Query(description="Those of one batch.")] = None,
) -> Response:
    """Every version of a file that was seen, the last one first: its state, and its rows."""
    listing = answers.files(state, prefix=prefix, batch_id=batch)
    return await lists.answer(request, asked, listing, name="files", rests_on=answers.rests_on)


@router.get("/rejects", response_model=Answered[Rows[RejectedRow]], responses=lists.responses(404))
async def rejects(
    request: Request,
    asked: AskedFor,
    file: Annotated[ObjectName, Query(description="Its name.", openapi_examples=_FILES)],
    version: Annotated[Name | None, Query(description="Else the one that came last.")] = None,
) -> Response:
    """What of a version of a file was rejected: where it stood, why, and its text."""
    with _named_errors():
        return await lists.answer(
            request,
            asked,
            RejectedRows(quarantine, answers.FILES, key=file, version=version),
            name="rejects",
            rests_on=answers.rests_on,
            first=lambda connection: _status(connection, file),
            perhaps=["minio"],
        )


@router.get(
    "/files/{name:path}",
    response_model=Answered[answers.FileStatus],
    responses=responses(404),
)
async def file(
    request: Request, name: Annotated[ObjectName, Path(openapi_examples=_FILES)]
) -> Response:
    """Where a file stands: its versions, the last one first. GET /v1/music/rejects has its rows."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return _status(connection, name)

    with _named_errors():
        return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)


def _status(connection: Any, name: str) -> answers.FileStatus:
    return answers.file(connection, MusicSettings.current().raw_bucket, name)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except answers.UnknownFileError as error:
        raise ProblemError(
            404, "unknown_file", "There is no such file", str(error),
            then="GET /v1/music/files lists those that were seen so far.",
        ) from None  # fmt: skip
