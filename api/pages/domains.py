"""A domain's card: its description, and its bins beside those of its category.

Belongs here: this page. Does not: the answers (``assets/domains/answers.py``), nor any exact
figure: none reaches a page.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from api import service
from api.clients import Clients
from api.pages import charts, parts
from api.pages.parameters import MaybeName
from api.pages.rendering import page
from api.pages.session import signed_in
from api.routes import domains as routes
from assets.domains import answers

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])

_MONTH = r"^[0-9]{4}-(0[1-9]|1[0-2])$"


@router.get("/domains")
async def domain(
    request: Request,
    domain: MaybeName = None,
    month: Annotated[MaybeName, Query(pattern=_MONTH)] = None,
) -> Response:
    """What is published of a domain; the form alone without one."""
    if domain is None:
        return page(request, "domains.html", domain=None, month=month)
    ask = parts.bare(request)
    found = await parts.asked(routes.description(ask, domain, month), _figures(ask, domain, month))
    status, headers = parts.status(found)
    description, figures = found
    scales = [charts.scale(one) for one in figures.answer or []]
    return page(
        request, "domains.html", status, headers, domain=domain, month=month,
        description=description, figures=figures, scales=scales,
    )  # fmt: skip


async def _figures(ask: Request, domain: str, month: str | None) -> Response:
    def found(clients: Clients) -> Any:
        with clients.postgres() as connection:
            return answers.figures(connection, domain, month)

    return await service.of(ask).answer(ask, answers.rests_on, ["postgres"], found)
