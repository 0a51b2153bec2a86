"""Music: putting files in, their bytes, and taking them down.

Belongs here: these routes, and which names music takes. Does not: how a file is received
(``api/uploads.py``), where each file stands (``music_files.py``).
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from api import service, uploads
from api.access import needs
from api.clients import Clients
from api.evidence import matches
from api.forms import Form, NotAFormError
from api.objects import disposition
from api.parameters import ObjectName, Words, examples
from api.problems import ProblemError, responses
from api.uploads import FileResult, Receiver, link
from assets.music import answers
from assets.music.settings import MusicSettings
from assets.pipelines import landed_of
from landing.arrival.identity import ObjectVersion
from landing.arrival.scan import skip_reason
from landing.stores.base import ObjectNotCurrent
from landing.stores.minio import MinioStore
from landing.stores.minio_parts import KeyRefusedError, MinioParts, ObjectExistsError, about_key

router = APIRouter(prefix="/v1/music", tags=["music"])

PATH = "/v1/music/files"
#: Bodies that may be larger than others, by method and path.
LARGER = {("POST", PATH): uploads.REQUEST_BYTES}
_SYSTEMS = ["postgres", "minio"]
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


class Received(BaseModel):
    """What became of every file, in the order of the form."""

    files: list[FileResult]


class TakenDown(BaseModel):
    """``records`` are withdrawn by the next batch."""

    name: str
    records: int
    href: str


class _Raw:
    """The raw bucket as a Place."""

    systems = _SYSTEMS

    def __init__(self, clients: Clients, *, replace: bool) -> None:
        settings = MusicSettings.current()
        self._clients, self._replace = clients, replace
        self._bucket = settings.raw_bucket
        self._source = landed_of("music", answers.FILES).source(self._bucket, settings.prefix)
        # Its client is opened by the first question, not by the loop.
        self._opened: MinioStore | None = None

    @property
    def store(self) -> MinioStore:
        """The bucket."""
        if self._opened is None:
            self._opened = MinioStore(self._clients.minio, self._bucket)
        return self._opened

    def refusal(self, name: str) -> str | None:
        """See Place: what the sensor would pass over is not taken."""
        if not name.startswith(self._source.prefix):
            return f"names of this source begin with {self._source.prefix!r}"
        version = ObjectVersion("minio", self._bucket, name, "", 1, _LONG_AGO)
        reason = skip_reason(version, self._source, _LONG_AGO)
        if reason is None:
            return None
        return f"the sensor of {self._source.name} passes over such a name: {reason}"

    def known(self, name: str) -> tuple[str, str] | None:
        """See Place."""
        with self._clients.postgres() as connection, about_key(name):
            found = answers.name_is(connection, self.store, name)
        if found == "taken_down":
            return (
                found,
                "the file was taken down: `make music-remove FILE=… UNDO=1` ends that",
            )
        if found == "there" and not self._replace:
            return "exists", "there is a file of this name: replace=true replaces it"
        return None

    def parts(self, name: str) -> MinioParts:
        """See Place."""
        return MinioParts(self._clients.minio, self._bucket, name, only_new=not self._replace)

    def finish(self, name: str, parts: MinioParts, rest: bytes) -> str | None:
        """See Place: looks once more, for gateways that know no conditions."""
        if not self._replace and self.store.stat(name):
            raise ObjectExistsError(name)
        parts.finish(rest)
        written = self.store.stat(name)
        return written.version if written else None

    def href(self, name: str) -> str:
        """See Place."""
        return link(PATH, name)


@router.post(
    "/files",
    dependencies=[Depends(needs("write"))],
    status_code=202,
    response_model=Received,
    responses=responses(408, 409, 413, 415),
    openapi_extra=_FORM,
)
async def put_files(
    request: Request,
    *,
    replace: Annotated[
        bool, Query(description="Let a file take the place of one of its name.")
    ] = False,
) -> Response:
    """Put files where the pipeline's sensor looks: each lands by itself, or says why not.

    A file's name is that of its part of the form, with its folders.
    """
    of = service.of(request)
    try:
        form = Form(request.headers.get("content-type", ""))
    except NotAFormError as error:
        raise ProblemError(
            415, "unsupported_media_type", "Not a form with files", str(error),
            then='Send the files as a form, as `curl -F "file=@a.h5"` does.',
        ) from None  # fmt: skip
    ended = of.transfers.begin()
    try:
        receiver = Receiver(of.stores, of.transfers, _Raw(of.clients, replace=replace))
        results = await receiver.receive(request.stream(), form)
    except ClientDisconnect:
        return Response(status_code=400)  # nobody hears it
    finally:
        ended()
    _require_one(results)
    said = Received(files=results).model_dump(exclude_none=True)
    return JSONResponse(said, 202)


def _require_one(results: list[FileResult]) -> None:
    """Raises ProblemError unless a file was taken: with the status of all, else 422."""
    if any(one.code is None for one in results):
        return
    if not results:
        raise ProblemError(
            422, "invalid_request", "The form has no file", "no part of the form is a file",
            then='Send files, as `curl -F "file=@a.h5"` does.', files=[],
        )  # fmt: skip
    statuses = {one.status for one in results}
    raise ProblemError(
        statuses.pop() if len(statuses) == 1 else 422, "no_file_taken", "No file was taken",
        "; ".join(f"{one.name}: {one.detail}" for one in results[:3]),
        then="`files` says what is wrong with each.",
        files=[one.model_dump(exclude_none=True) for one in results],
    )  # fmt: skip


@router.get(
    "/files/{name:path}/content",
    dependencies=[Depends(needs("read"))],
    response_class=Response,
    responses=responses(404, 410)
    | {200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}},
)
async def content(
    request: Request,
    name: Annotated[ObjectName, Path(openapi_examples=examples("songs/one.json", "nobody"))],
) -> Response:
    """The bytes of a file, from the raw bucket, or from their copy once the file has left it."""
    of = service.of(request)
    settings = MusicSettings.current()

    def found() -> answers.FileContent:
        raw = MinioStore(of.clients.minio, settings.raw_bucket)
        processed = MinioStore(of.clients.minio, settings.processed_bucket)
        with of.clients.postgres() as connection, about_key(name):
            return answers.content(connection, raw, processed, name)

    try:
        file = await of.stores.ask(_SYSTEMS, found)
    except (answers.UnknownFileError, KeyRefusedError) as error:
        raise _unknown(error) from None
    except answers.FileTakenDownError as error:
        raise ProblemError(
            410, "taken_down", "The file was taken down", str(error),
            then="`make music-remove FILE=… UNDO=1` ends that.",
        ) from None  # fmt: skip
    tag = f'"{hashlib.sha256(f"{name}#{file.version}".encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = disposition(name)
    try:
        return await of.objects.response(
            of.stores, "minio", lambda: (file.store, file.lies),
            media_type="application/octet-stream", headers=headers,
        )  # fmt: skip
    except ObjectNotCurrent as error:  # it has moved, or was replaced, a moment ago
        raise _unknown(error) from None


@router.delete(
    "/files/{name:path}",
    dependencies=[Depends(needs("write"))],
    status_code=202,
    responses=responses(404),
)
async def take_down(
    request: Request,
    name: Annotated[ObjectName, Path(openapi_examples=examples("songs/two.json", "nobody", 202))],
    why: Annotated[Words, Query(description="Is kept with the file's name.")] = "over HTTP",
) -> TakenDown:
    """Take a file down, as `make music-remove FILE=…` does: its songs leave with the next batch."""
    of = service.of(request)

    def taken() -> Any:
        raw = _Raw(of.clients, replace=True)
        if uploads.refusal_of_name(name.encode()) or raw.refusal(name):
            return None
        with of.clients.postgres() as connection, about_key(name):
            return answers.take_down(connection, raw.store, name, why)

    try:
        records = await of.stores.ask(_SYSTEMS, taken)
    except KeyRefusedError as error:
        raise _unknown(error) from None
    if records is None:
        raise _unknown(f"nothing has landed as {name!r}")
    return TakenDown(name=name, records=records, href=link(PATH, name))


def _unknown(said: object) -> ProblemError:
    return ProblemError(
        404, "unknown_file", "There is no such file", str(said),
        then="GET /v1/music/files lists those that were seen so far.",
    )  # fmt: skip
