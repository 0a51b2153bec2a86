"""All pages, put into the application.

Belongs here: which routers and files there are. Does not: any page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

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

#: Pages of every pipeline, and of those that are chosen.
_ALWAYS = (session, home, documentation)
_OF = {
    "campaigns": campaigns,
    "music": music,
    "reading": reading,
    "domains": domains,
    "images": images,
}


def add_to(app: FastAPI, pipelines: Iterable[str]) -> None:
    """Add the pages; call it after problems.add_handlers, of which pages need their own."""
    pages = [*_ALWAYS, *(_OF[name] for name in pipelines)]
    for one in pages:
        app.include_router(one.router)
    app.state.drawing = asyncio.Semaphore(images.DRAWN_AT_ONCE)
    drawn = {route.endpoint for one in pages for route in one.router.routes}
    failures.add_handlers(app, drawn)
    app.mount("/static", StaticFiles(packages=[("api.pages", "static")]))
    app.mount("/docs/files", StaticFiles(packages=[(documentation.PACKAGE, "static")]))
