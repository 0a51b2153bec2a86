"""Domains: what is published of a domain.

Belongs here: these routes. Does not: the answers (``assets/domains/answers.py``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.parameters import MonthName, Name, examples
from api.problems import ProblemError, responses
from assets.domains import answers

router = APIRouter(prefix="/v1/domains", tags=["domains"], dependencies=[Depends(needs("read"))])


@router.get(
    "/{domain}/description",
    response_model=Answered[answers.Description],
    responses=responses(404, 409),
)
async def description(
    request: Request,
    domain: Annotated[Name, Path(openapi_examples=examples("a.de", "nobody.de"))],
    month: Annotated[
        MonthName | None,
        Query(description="Else the latest.", openapi_examples=examples("2025-03")),
    ] = None,
) -> Response:
    """The description of a domain, of a month or of the latest one. No exact figure is in it."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            published = answers.description(connection, domain, month)
        if published is None:
            raise ProblemError(
                404, "unknown_domain", "Nothing is published of the domain",
                f"no description of {domain!r}" + (f" in {month}" if month else ""),
                then="Ask without a month, or for another domain.",
            )  # fmt: skip
        return published

    return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)
