"""Reading: what a user read, by category.

Belongs here: these routes. Does not: the answers (``assets/reading/answers.py``).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse

from api import service
from api.access import needs
from api.evidence import Answered
from api.parameters import Day, examples
from api.problems import responses
from assets.reading import answers
from assets.reading.settings import ReadingSettings

router = APIRouter(tags=["reading"], dependencies=[Depends(needs("read"))])

_BITS = 2**63
_NEEDED = ["bigquery"]
UserId = Annotated[int, Path(ge=-_BITS, lt=_BITS, openapi_examples=examples(5))]
QueryDate = Annotated[
    Day, Query(description="The window's last day (UTC).", openapi_examples=examples("2022-03-23"))
]


@router.get(
    "/v1/reading/users/{user_id}/categories",
    response_model=Answered[answers.CategoryShares],
    responses=responses(409),
)
async def category_shares(
    request: Request,
    user_id: UserId,
    query_date: QueryDate,
    days: Annotated[int, Query(ge=0, le=answers.MOST_DAYS)] = answers.WINDOW_DAYS,
    beyond: Annotated[int, Query(ge=0, le=answers.MOST_PERCENT)] = answers.READ_BEYOND,
) -> Response:
    """Each category's share of what the user read in the days up to a date, with its counts.

    Events count that were read beyond so many percent. ``categories`` is empty where there is none.
    """
    return await service.of(request).answer(
        request, answers.rests_on, _NEEDED, _question(user_id, query_date, days, beyond)
    )


@router.get("/user_content/", responses=responses(409), response_model=dict[str, float])
async def user_content(
    request: Request,
    user_id: Annotated[int, Query(ge=-_BITS, lt=_BITS, openapi_examples=examples(5))],
    query_date: QueryDate,
) -> Response:
    """The same as the old service had it: share by category, ``{}`` where nothing is found."""
    question = _question(user_id, query_date, answers.WINDOW_DAYS, answers.READ_BEYOND)
    of = service.of(request)
    found = await of.stores.ask(_NEEDED, lambda: question(of.clients))
    return JSONResponse(found.shares)


def _question(user_id: int, query_date: date, days: int, beyond: int) -> Any:
    dataset = ReadingSettings.current().dataset
    return lambda clients: answers.category_shares(
        clients.bigquery, dataset, user_id, query_date, days=days, beyond=beyond
    )
