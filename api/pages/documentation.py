"""The page of the API's documentation: Swagger UI, whose files we serve ourselves.

Belongs here: that page. Does not: what it shows (``/openapi.json``).
"""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.pages.rendering import page

#: Has Swagger UI's files as its maker built them, under ``static``.
PACKAGE = "fastapi_offline"
#: Swagger UI is a script that draws, with icons and styles of its own in it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

router = APIRouter(include_in_schema=False)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """Every route, to read and to try; needs no key until one is tried."""
    return page(request, "docs.html", headers={"Content-Security-Policy": POLICY})
