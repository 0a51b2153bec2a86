"""All pages, put into the application.

Belongs here: which routers and files there are. Does not: any page.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api.pages import (
    campaigns,
    documentation,
    domains,
    failures,
    home,
    images,
    music,
    reading,
    session,
)

_PAGES = (session, home, campaigns, music, reading, domains, images, documentation)


def add_to(app: FastAPI) -> None:
    """Add the pages; call it after problems.add_handlers, of which pages need their own."""
    for one in _PAGES:
        app.include_router(one.router)
    app.state.drawing = asyncio.Semaphore(images.DRAWN_AT_ONCE)
    drawn = {route.endpoint for one in _PAGES for route in one.router.routes}
    failures.add_handlers(app, drawn)
    app.mount("/static", StaticFiles(packages=[("api.pages", "static")]))
    app.mount("/docs/files", StaticFiles(packages=[(documentation.PACKAGE, "static")]))
