"""What an answer rests on, and whether it can have changed since it was asked last.

Belongs here: the envelope of answers, ETags. Does not: finding what a pipeline has last written,
which is the pipeline's ``rests_on``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from fastapi import Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.problems import ProblemError

if TYPE_CHECKING:
    import psycopg

    from api.clients import Clients
    from api.stores import Stores
    from landing.arrival.standing import Delivered

T = TypeVar("T")

#: Seconds for which what a pipeline has last written is believed.
BELIEVED_SECONDS = 1.0


class RestsOn(BaseModel):
    """The last that was written of what the answer is computed from."""

    kind: Literal["batch", "session"]
    id: str = Field(examples=["20261128T120000Z-0001"])
    written_at: datetime
    run: str | None = Field(description="The page of the Dagster run that wrote it.")


class Answered(BaseModel, Generic[T]):
    """An answer, and what it rests on: null before anything is loaded, or while nobody can say."""

    answer: T
    rests_on: RestsOn | None


Newest = Callable[["psycopg.Connection[Any]"], "Delivered | None"]


class Evidence:
    """What each pipeline has last written, asked for once a second at most."""

    def __init__(self, stores: Stores, clients: Clients, page: Callable[[str], str]) -> None:
        self._stores, self._clients, self._page = stores, clients, page
        self._known: dict[Newest, tuple[float, RestsOn | None]] = {}

    async def of(self, newest: Newest) -> RestsOn | None:
        """What ``newest`` finds; what it found before while Postgres is away."""
        at, known = self._known.get(newest, (float("-inf"), None))
        if time.monotonic() - at < BELIEVED_SECONDS:
            return known
        try:
            found = await self._stores.ask(["postgres"], lambda: self._ask(newest))
        except ProblemError:
            return known
        if found is not None:
            run = self._page(found.run_id) if found.run_id else None
            known = RestsOn(kind=found.kind, id=found.id, written_at=found.written_at, run=run)
        self._known[newest] = (time.monotonic(), known)
        return known

    def _ask(self, newest: Newest) -> Delivered | None:
        with self._clients.postgres() as connection:
            return newest(connection)


def sent(request: Request, answer: Any, rests_on: RestsOn | None) -> Response:
    """The answer with its ETag; 304 where whoever asks has it already.

    The tag is of the answer's bytes, so that equal ones are equal whatever was loaded in between.
    """
    body = jsonable_encoder({"answer": answer, "rests_on": rests_on})
    said = json.dumps(body, sort_keys=True, ensure_ascii=True).encode()
    tag = f'"{hashlib.sha256(said).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(body, headers=headers)


def matches(asked: str | None, tag: str) -> bool:
    """RFC 9110, section 13.1.2: weak comparison with any of the tags, or ``*``."""
    if asked is None:
        return False
    tags = [one.strip().removeprefix("W/") for one in asked.split(",")]
    return "*" in tags or tag in tags
