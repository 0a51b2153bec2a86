"""Files that come in over HTTP, put into a bucket as their bytes come.

Belongs here: limits, names, what becomes of each file of a request. Does not: the form's protocol
(``forms.py``), which bucket and which names a pipeline takes (the routes).

Of a file there is a part in memory and nothing on disk. A file is complete in the bucket or not
there; one that is refused costs only itself: its bytes are read and let go.
"""

from __future__ import annotations

import asyncio
import logging
import os
import unicodedata
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, Field

from api.forms import Begins, BrokenFormError, Ends, Event, Form
from api.problems import ProblemError
from api.stores import Stores
from api.transfers import Transfers
from assets.pipelines import without_secrets
from landing.stores.minio_parts import PART_BYTES, KeyRefusedError, MinioParts, ObjectExistsError

log = logging.getLogger("quintet.api")
T = TypeVar("T")

#: Of a file and of a request; the 10,000 parts of S3 would be more.
FILE_BYTES = 4 * 1024**3
REQUEST_BYTES = 16 * 1024**3
MOST_FILES = 1_000
#: S3's limit of a key.
NAME_BYTES = 1_024
#: Seconds without a byte after which a client counts as gone.
IDLE_SECONDS = 60.0
_ABORT_SECONDS = 5.0
_SHOWN_CHARACTERS = 200


class FileResult(BaseModel):
    """What became of one file of a request: it lies in the bucket, or why not."""

    name: str
    status: int = Field(examples=[202], description="As it would be of a request of this file.")
    bytes: int = 0
    version: str | None = None
    href: str | None = Field(default=None, description="Where the file says how it stands.")
    code: str | None = Field(default=None, examples=["exists"])
    detail: str | None = None


class Place(Protocol):
    """Where a request's files go. Its methods block."""

    systems: list[str]

    def refusal(self, name: str) -> str | None:
        """Why files of this name are not taken, or None when they are."""
        ...

    def known(self, name: str) -> tuple[str, str] | None:
        """Code and words of why the file may not be put now, or None when it may.

        Raises KeyRefusedError.
        """
        ...

    def parts(self, name: str) -> MinioParts:
        """The object to be written."""
        ...

    def finish(self, name: str, parts: MinioParts, rest: bytes) -> str | None:
        """Let the object be seen; its version. Raises ObjectExistsError."""
        ...

    def href(self, name: str) -> str:
        """Where the file says how it stands."""
        ...


class _Incoming:
    """The file that is being received. Once refused, only its bytes are counted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self.rest = bytearray()
        self.claimed = False
        self.parts: MinioParts | None = None
        self.refused: FileResult | None = None

    def refuse(self, status: int, code: str, detail: str) -> None:
        self.refused = FileResult(name=self.name, status=status, code=code, detail=detail)
        self.rest.clear()


class Receiver:
    """Receives one request's files."""

    def __init__(self, stores: Stores, transfers: Transfers, place: Place) -> None:
        self._stores, self._transfers, self._place = stores, transfers, place
        self._file: _Incoming | None = None
        self.results: list[FileResult] = []

    async def receive(self, chunks: AsyncIterator[bytes], form: Form) -> list[FileResult]:
        """What became of every file.

        Raises ProblemError, which has the results so far as ``files``: 422 for a broken form, and
        as Stores.ask; and whatever ``chunks`` raises. A file that is not whole by then is
        not there.
        """
        try:
            async for chunk in _steady(chunks):
                for event in form.feed(chunk):
                    await self._told(event)
            form.require_end()
        except BrokenFormError as error:
            raise ProblemError(
                422, "invalid_request", "The form cannot be understood", str(error),
                then="Send the files that `files` does not name once more.", files=self._sendable(),
            ) from None  # fmt: skip
        except ProblemError as error:
            extra = error.problem.model_extra
            if extra is not None:
                extra["files"] = self._sendable()
            raise
        finally:
            await self._drop()
        return self.results

    def _sendable(self) -> list[dict[str, Any]]:
        return [one.model_dump(exclude_none=True) for one in self.results]

    async def _told(self, event: Event) -> None:
        if isinstance(event, Begins):
            await self._begins(event)
        elif isinstance(event, Ends):
            await self._ends()
        else:
            await self._data(event)

    async def _begins(self, event: Begins) -> None:
        told = event.field.encode() if event.filename is None else event.filename
        file = _Incoming(told.decode("utf-8", "backslashreplace"))
        self._file = file
        why = refusal_of_name(told)
        if event.filename is None:
            file.refuse(422, "not_a_file", "the field has no file: its filename is missing")
        elif len(self.results) >= MOST_FILES:
            file.refuse(413, "too_many_files", f"at most {MOST_FILES:,} files in one request")
        elif why or (why := self._place.refusal(file.name)):
            file.refuse(422, "name_refused", why)
        elif not self._transfers.claim(file.name):
            file.refuse(409, "in_progress", "another request puts a file of this name now")
        else:
            file.claimed = True
            try:
                await self._ask(lambda: self._open(file))
            except KeyRefusedError as error:
                _refuse_key(file, error)

    def _open(self, file: _Incoming) -> None:
        known = self._place.known(file.name)
        if known:
            file.refuse(409, *known)
        else:
            file.parts = self._place.parts(file.name)

    async def _data(self, data: bytes) -> None:
        file = self._file
        if file is None:
            return
        file.size += len(data)
        if file.refused:
            return
        if file.size > FILE_BYTES:
            file.refuse(413, "file_too_large", f"a file has at most {FILE_BYTES:,} bytes")
            return
        file.rest += data
        # The last part is never empty: what is left is written with the end.
        while len(file.rest) > PART_BYTES and not file.refused:
            part = bytes(file.rest[:PART_BYTES])
            del file.rest[:PART_BYTES]
            await self._written(file, lambda parts, part=part: parts.write(part))  # type: ignore[misc]

    async def _ends(self) -> None:
        file = self._file
        if file is None:
            return
        if not file.size and not file.refused:
            file.refuse(422, "empty_file", "an empty file does not start anything")
        rest, version = bytes(file.rest), None
        if not file.refused:
            version = await self._written(
                file, lambda parts: self._place.finish(file.name, parts, rest)
            )
        self.results.append(
            file.refused
            or FileResult(
                name=file.name, status=202, bytes=file.size, version=version,
                href=self._place.href(file.name),
            )
        )  # fmt: skip
        await self._drop()

    async def _written(self, file: _Incoming, write: Callable[[MinioParts], T]) -> T | None:
        """What writing says; a file that the store does not take is refused."""
        parts = file.parts
        if parts is None:
            return None
        try:
            return await self._ask(lambda: write(parts))
        except ObjectExistsError:
            file.refuse(409, "exists", "there is a file of this name: replace=true replaces it")
        except KeyRefusedError as error:
            _refuse_key(file, error)
        return None

    async def _ask(self, question: Callable[[], T]) -> T:
        return await self._stores.ask(self._place.systems, question)

    async def _drop(self) -> None:
        """Let go of the file; of one that is not whole nothing is left."""
        file, self._file = self._file, None
        if file is None or not file.claimed:
            return
        name = file.name

        def ended() -> None:
            try:
                if file.parts:
                    file.parts.abort()
            except Exception as error:  # noqa: BLE001  the store forgets the parts in its own time
                said = without_secrets(str(error) or type(error).__name__, os.environ)
                log.warning("upload_left name=%r error=%s", name, said.splitlines()[0])

        ending = asyncio.get_running_loop().run_in_executor(None, ended)
        ending.add_done_callback(lambda _: self._transfers.release(name))
        await asyncio.wait({ending}, timeout=_ABORT_SECONDS)


def _refuse_key(file: _Incoming, error: KeyRefusedError) -> None:
    said = without_secrets(str(error), os.environ)[:_SHOWN_CHARACTERS]
    file.refuse(422, "refused_by_store", f"the store does not take the name: {said}")


def refusal_of_name(told: bytes) -> str | None:
    """Why no object may have this name, whatever a pipeline takes; None where one may."""
    try:
        name = told.decode()
    except UnicodeDecodeError:
        return "the name is not UTF-8"
    refusals = {
        "the name is empty": not name,
        f"the name is longer than {NAME_BYTES:,} bytes": len(told) > NAME_BYTES,
        "the name has control characters": any(unicodedata.category(one) == "Cc" for one in name),
        "the name has a backslash: folders end with /": "\\" in name,
        "the name is absolute: it begins with /": name.startswith("/"),
        "a part of the name is empty, `.` or `..`": not {"", ".", ".."}.isdisjoint(name.split("/")),
    }
    return next((why for why, applies in refusals.items() if applies), None)


def link(path: str, name: str) -> str:
    """The address of a file below ``path``."""
    return f"{path}/{quote(name, safe='/')}"


async def _steady(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise ProblemError(
                408, "too_slow", "The body does not come", f"no byte within {IDLE_SECONDS:g} s",
                then="Send the files that `files` does not name once more.",
            ) from None  # fmt: skip
        yield chunk
