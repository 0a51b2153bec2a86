"""Domains: what is published of a domain.

Belongs here: these routes. Does not: lists of a month (``domain_months.py``), the answers
(``assets/domains/answers.py``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import service
from api.access import needs
from api.clients import Clients
from api.evidence import Answered
from api.parameters import Name, examples
from api.problems import ProblemError, responses
from assets.domains import answers

router = APIRouter(prefix="/v1/domains", tags=["domains"], dependencies=[Depends(needs("read"))])

Domain = Annotated[Name, Path(openapi_examples=examples("a.de", "nobody.de"))]
Month = Annotated[
    str | None,
    Query(
        pattern=answers.MONTH,
        description="Else the latest.",
        openapi_examples=examples("2025-03"),
    ),
]


@router.get(
    "/{domain:path}/description",
    response_model=Answered[answers.Description],
    responses=responses(404, 409),
)
async def description(
    request: Request,
    domain: Domain,
    month: Month = None,
) -> Response:
    """The description of a domain, of a month or of the latest one. No exact figure is in it."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            published = answers.description(connection, domain, month)
        if published is None:
            within = f" in {month}" if month else ""
            raise _unknown(f"no description of {domain!r}{within}")
        return published

    return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)


@router.get(
    "/{domain:path}", response_model=Answered[answers.DomainCard], responses=responses(404, 409)
)
async def domain(request: Request, domain: Domain, month: Month = None) -> Response:
    """A domain's description and bins in a month, or in the latest one, beside its category's."""

    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return answers.card(connection, domain, month)

    try:
        return await service.of(request).answer(request, answers.rests_on, ["postgres"], found)
    except answers.UnknownDomainError as error:
        raise _unknown(str(error)) from None


def _unknown(said: str) -> ProblemError:
    return ProblemError(
        404, "unknown_domain", "Nothing is published of the domain", said,
        then="Ask without a month, or for another domain: GET /v1/domains/months lists the months.",
    )  # fmt: skip
