"""What a reader read, by category: on a date, and over the dates before it.

Belongs here: this page. Does not: the answers (``assets/reading/answers.py``), the chart's geometry
(``charts.py``).
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from api import service
from api.pages import charts, parts
from api.pages.parameters import BLANK
from api.pages.rendering import page
from api.pages.session import signed_in
from api.routes import reading as routes
from assets.reading import answers
from assets.reading.settings import ReadingSettings

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])

#: Query dates on the chart.
DATES = 14
_BITS = 2**63
#: The windows of all dates must begin in a year that there is.
_FIRST = date(4, 1, 1)
UserId = Annotated[int, Field(ge=-_BITS, lt=_BITS)]
QueryDate = Annotated[date, Field(ge=_FIRST)]


@router.get("/reading")
async def reader(
    request: Request,
    user: Annotated[UserId | None, BLANK, Query()] = None,
    query_date: Annotated[QueryDate | None, BLANK, Query(alias="date")] = None,
    days: Annotated[int, Query(ge=0, le=answers.MOST_DAYS - DATES)] = answers.WINDOW_DAYS,
    beyond: Annotated[int, Query(ge=0, le=answers.MOST_PERCENT)] = answers.READ_BEYOND,
) -> Response:
    """A reader's shares; the form alone without a reader."""
    day = query_date or datetime.now(UTC).date()
    asked: dict[str, Any] = {
        "user": user, "query_date": day, "days": days,
        "beyond": beyond, "most_days": answers.MOST_DAYS - DATES,
    }  # fmt: skip
    if user is None:
        return page(request, "reading.html", **asked, shares=None)
    ask = parts.bare(request)
    found = await parts.asked(
        routes.category_shares(ask, user, day, days, beyond),
        _over_days(ask, user, day, days, beyond),
    )
    status, headers = parts.status(found)
    shares, over = found
    chart = charts.stacked(_columns(over.answer)) if over.answer else None
    return page(
        request, "reading.html", status, headers, **asked, shares=shares, over=over, chart=chart
    )


async def _over_days(ask: Request, user: int, last: date, days: int, beyond: int) -> Response:
    dataset = ReadingSettings.current().dataset
    return await service.of(ask).answer(
        ask, answers.rests_on, ["bigquery"],
        lambda clients: answers.shares_over_days(
            clients.bigquery, dataset, user, last, dates=DATES, days=days, beyond=beyond
        ),
    )  # fmt: skip


def _columns(windows: list[Any]) -> list[charts.Column]:
    return [
        charts.Column(one["last"], {each["category"]: each["share"] for each in one["categories"]})
        for one in windows
    ]
