"""Domains by month: lists of what is published, and what has changed.

Belongs here: these routes. Does not: one domain (``domains.py``), the lists
(``assets/domains/published.py``).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from api import lists
from api.access import needs
from api.evidence import Answered
from api.lists import Asked, Rows
from api.parameters import Name
from api.problems import ProblemError
from assets.domains import answers
from resources.keyset import Pages

router = APIRouter(
    prefix="/v1/domains/months", tags=["domains"], dependencies=[Depends(needs("read"))]
)

AskedFor = Annotated[Asked, Depends(lists.asked)]
OfMonth = Annotated[str, Path(pattern=answers.MONTH, examples=["2025-03"])]
Category = Annotated[Name | None, Query(description="As the list of categories names it.")]


@router.get(
    "", response_model=Answered[Rows[answers.PublishedMonth]], responses=lists.responses(409)
)
async def months(request: Request, asked: AskedFor) -> Response:
    """The months of which something is published, newest first."""
    return await lists.answer(
        request, asked, answers.months(), name="months", rests_on=answers.rests_on
    )


@router.get(
    "/{month}/domains",
    response_model=Answered[Rows[answers.PublishedDomain]],
    responses=lists.responses(404, 409),
)
async def domains(
    request: Request,
    asked: AskedFor,
    month: OfMonth,
    *,
    category: Category = None,
    revenue: Annotated[Name | None, Query(description="A bin.", examples=["1M–2M"])] = None,
    sessions: Annotated[Name | None, Query(description="A bin.", examples=["20K–50K"])] = None,
) -> Response:
    """What is published of a month, by domain: descriptions and bins, no exact figure."""
    listing = answers.of_month(month, category=category, revenue=revenue, sessions=sessions)
    return await _listed(request, asked, listing, month, "domains")


@router.get(
    "/{month}/categories",
    response_model=Answered[Rows[answers.PublishedCategory]],
    responses=lists.responses(404, 409),
)
async def categories(request: Request, asked: AskedFor, month: OfMonth) -> Response:
    """The categories of a month: how many domains are described in each, and its bins."""
    return await _listed(request, asked, answers.categories(month), month, "categories")


@router.get(
    "/{month}/bins",
    response_model=Answered[Rows[answers.BinCount]],
    responses=lists.responses(404, 409),
)
async def bins(
    request: Request, asked: AskedFor, month: OfMonth, category: Category = None
) -> Response:
    """How many domains of a month, or of a category, lie in which bin of each measure."""
    return await _listed(request, asked, answers.bins(month, category), month, "bins")


@router.get(
    "/{month}/changes",
    response_model=Answered[Rows[answers.ChangedDomain]],
    responses=lists.responses(404, 409),
)
async def changes(
    request: Request,
    asked: AskedFor,
    month: OfMonth,
    change: Annotated[answers.Change | None, Query()] = None,
) -> Response:
    """What is published of each domain against the month before."""
    return await _listed(request, asked, answers.changes(month, change), month, "changes")


async def _listed(
    request: Request, asked: Asked, listing: Pages[Any], month: str, name: str
) -> Response:
    try:
        return await lists.answer(
            request,
            asked,
            listing,
            name=f"{month}-{name}",
            rests_on=answers.rests_on,
            first=lambda connection: answers.require_month(connection, month),
        )
    except answers.UnknownMonthError as error:
        raise ProblemError(
            404, "unknown_month", "Nothing is published of the month", str(error),
            then="GET /v1/domains/months lists those of which something is.",
        ) from None  # fmt: skip
