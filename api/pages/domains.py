"""A domain's card: its description, and its bins beside those of its category.

Belongs here: this page. Does not: the answers (``api/routes/domains.py``), nor any exact figure:
none reaches a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import StringConstraints

from api.pages import charts, parts
from api.pages.parameters import BLANK, MaybeName
from api.pages.rendering import page
from api.pages.session import signed_in
from api.routes import domains as routes
from assets.domains import answers

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])

Month = Annotated[str, StringConstraints(pattern=answers.MONTH)]
_PERCENTILES = {"10": "10th percentile", "90": "90th percentile"}
#: Measures of a domain, and those of its category that are shown beside each.
_BESIDE: dict[str, dict[str, str]] = {
    "revenue": {"median_revenue": "median", "largest_revenue": "largest"},
    "sessions": {"median_sessions": "median", "highest_sessions": "highest"},
    "conversion_rate": {f"conversion_rate_{n}": of for n, of in _PERCENTILES.items()},
    "order_value": {f"order_value_{n}": of for n, of in _PERCENTILES.items()},
}


@router.get("/domains")
async def domain(
    request: Request,
    domain: MaybeName = None,
    month: Annotated[Month | None, BLANK, Query()] = None,
) -> Response:
    """What is published of a domain; the form alone without one."""
    if domain is None:
        return page(request, "domains.html", domain=None, month=month)
    (card,) = await parts.asked(routes.domain(parts.bare(request), domain, month))
    status, headers = parts.status([card])
    scales = [charts.scale(one) for one in _figures(card.answer)] if card.answer else []
    return page(
        request, "domains.html", status, headers, domain=domain, month=month, card=card,
        scales=scales,
    )  # fmt: skip


def _figures(card: Mapping[str, Any]) -> Iterator[charts.Figure]:
    """The domain's measures that are known, each beside its category's."""
    own, category = card["domain"], card["category"] or {}
    for measure, beside in _BESIDE.items():
        if own[measure] is not None:
            yield charts.Figure(
                measure.replace("_", " "),
                own.get(f"{measure}_direction"),
                _mark("this domain", own[measure]),
                tuple(
                    _mark(of, category[name]) for name, of in beside.items() if category.get(name)
                ),
            )


def _mark(of: str, name: str) -> charts.Bin:
    return charts.Bin(of, name, answers.lower_edge(name))
