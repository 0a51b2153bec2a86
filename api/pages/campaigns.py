"""A user's neighbours, their campaigns, and what the user did.

Belongs here: this page. Does not: the answers (``api/routes/campaigns.py``).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.pages import parts
from api.pages.parameters import MaybeName
from api.pages.rendering import page
from api.pages.session import signed_in
from api.routes import campaigns as routes

router = APIRouter(include_in_schema=False, dependencies=[Depends(signed_in)])


@router.get("/campaigns")
async def user(
    request: Request, user: MaybeName = None, k: Annotated[int, Query(ge=1, le=20)] = 5
) -> Response:
    """All that there is to say of a user; the form alone without one."""
    if user is None:
        return page(request, "campaigns.html", user=None, k=k)
    ask = parts.bare(request)
    found = await parts.asked(
        routes.recommendations(ask, user, k),
        routes.similar_users(ask, user, k),
        routes.user_campaigns(ask, user),
        routes.engagement(ask, user),
    )
    status, headers = parts.status(found)
    ranked, similar, own, engagement = found
    return page(
        request, "campaigns.html", status, headers, user=user, k=k, ranked=ranked,
        similar=similar, own=own, engagement=engagement,
    )  # fmt: skip
