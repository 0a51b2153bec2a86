"""Lists over HTTP: pages as JSON, or all rows as CSV or NDJSON.

Belongs here: the parameters that every list has, choosing between page and file. Does not: paging
itself (``resources/keyset.py``), which rows there are (``answers``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel, Field

from api import problems, service
from api.clients import Clients
from api.downloads import Opening
from api.evidence import Newest, RestsOn, sent
from api.parameters import Cursor
from api.problems import ProblemError
from api.service import Service, require_loaded
from api.tabular import MEDIA_TYPES, Format
from resources.keyset import BrokenCursorError, Pages

T = TypeVar("T")
MOST_ROWS = 500
_JSON = "application/json"
#: A header of the files: what the rows rest on, as JSON.
RESTS_ON = "Quintet-Rests-On"


class Rows(BaseModel, Generic[T]):
    """A page of a list."""

    rows: list[T]
    next: str | None = Field(description="`cursor` of the page behind this one; null at the end.")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a list is asked for, and how."""

    limit: int
    cursor: str | None
    form: Literal["json"] | Format


def asked(
    limit: Annotated[
        int, Query(ge=1, le=MOST_ROWS, description="Rows of a page; files have all.")
    ] = 50,
    cursor: Annotated[
        Cursor | None, Query(description="`next` of the page before this one.")
    ] = None,
    form: Annotated[
        Literal["json", "csv", "ndjson"] | None,
        Query(alias="format", description="Else what Accept prefers. CSV and NDJSON: all rows."),
    ] = None,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Asked:
    """The parameters of every list: a dependency of its route."""
    return Asked(limit, cursor, form or preferred(accept))


def preferred(accept: str | None) -> Literal["json"] | Format:
    """What of JSON, CSV and NDJSON the header likes best, in this order; JSON if none of them."""
    offered: dict[str, Any] = {_JSON: "json"} | {kind: form for form, kind in MEDIA_TYPES.items()}
    likes: dict[str, float] = {}
    for one in (accept or "").split(","):
        kind, *parameters = (part.strip().lower() for part in one.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            likes[kind] = float(weight)
        except ValueError:
            likes[kind] = 0.0
    best = max(offered, key=lambda kind: likes.get(kind, 0.0))
    return offered[best] if likes.get(best, 0.0) > likes.get("*/*", 0.0) else "json"


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a list, beside its model: the files, and problems."""
    text = {"schema": {"type": "string"}}
    return {
        **problems.responses(*statuses),
        200: {"content": dict.fromkeys(MEDIA_TYPES.values(), text)},
    }


async def answer(
    request: Request,
    asked: Asked,
    listing: Pages[Any],
    *,
    name: str,
    rests_on: Newest | None = None,
    first: Callable[[Any], object] | None = None,
    perhaps: Sequence[str] = (),
) -> Response:
    """A page, or a file of that name.

    ``first`` is asked before, of the same connection; it may raise. ``perhaps`` are the systems
    that it may ask beside Postgres. Raises as
    Service.answer does, and ProblemError (422) for a cursor of another list.
    """
    of = service.of(request)

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            if first:
                first(connection)
            return listing.page(connection, asked.limit, asked.cursor)

    @contextmanager
    def opening() -> Iterator[Any]:
        with of.clients.postgres() as connection:
            if first:
                first(connection)
            yield listing.blocks(connection, asked.cursor)

    try:
        if asked.form != "json":
            return await _file(
                of, listing, asked.form,
                name=name, rests_on=rests_on, opening=opening, perhaps=perhaps,
            )  # fmt: skip
        if rests_on:
            said = await of.answer(request, rests_on, ["postgres"], found, perhaps)
        else:
            page = await of.stores.ask(["postgres"], lambda: found(of.clients), perhaps=perhaps)
            said = sent(request, page, None)
    except BrokenCursorError as error:
        raise _broken(error) from None
    said.headers["Vary"] = "Accept"
    return said


async def _file(
    of: Service,
    listing: Pages[Any],
    form: Format,
    *,
    name: str,
    rests_on: Newest | None,
    opening: Opening,
    perhaps: Sequence[str],
) -> Response:
    held = await of.evidence.of(rests_on) if rests_on else None
    try:
        return await of.downloads.response(
            of.stores, perhaps, opening, columns=listing.columns, form=form, name=name,
            headers={"Vary": "Accept", RESTS_ON: _told(held)},
        )  # fmt: skip
    except Exception as error:
        require_loaded(error, held)
        raise


def _told(rests_on: RestsOn | None) -> str:
    return json.dumps(rests_on.model_dump(mode="json") if rests_on else None, ensure_ascii=True)


def _broken(error: BrokenCursorError) -> ProblemError:
    return ProblemError(
        422, "invalid_request", "The request cannot be understood", f"cursor: {error}",
        then="Send `next` of the page before as it is, with the same filters and sort; or none.",
        errors=[{"in": "query", "name": "cursor", "says": str(error)}],
    )  # fmt: skip
