"""The application: routes, errors, limits and the page of its documentation.

Belongs here: putting these together. Does not: any route, or who serves it (``__main__.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import access, problems
from api.clients import preload
from api.limits import Bounded
from api.metrics import Metrics, Timed
from api.pages import site
from api.protection import Protected
from api.routes import (
    campaigns,
    domain_months,
    domains,
    image_files,
    image_lists,
    image_requests,
    images,
    music,
    music_catalogue,
    music_files,
    music_uploads,
    operations,
    operations_lists,
    reading,
    reading_publishing,
)
from api.service import Service, variable
from assets.pipelines import apply_defaults, chosen_pipelines

DESCRIPTION = """
What quintet's pipelines answer. Every answer names the batch that it rests on, when that was
written, and the Dagster run that did. Errors are problem details (RFC 9457) with a `code` that
stays the same, and `next`, what to do.
"""


#: The routes of each pipeline, the more particular path of two first.
ROUTES = {
    "campaigns": (campaigns,),
    "music": (music, music_catalogue, music_uploads, music_files),
    "reading": (reading, reading_publishing),
    "domains": (domain_months, domains),
    "images": (images, image_lists, image_files, image_requests),
}


def routes_of(pipelines: Iterable[str]) -> list[Any]:
    """The modules of routes: of these pipelines, and for those who operate."""
    return [operations, operations_lists, *(one for name in pipelines for one in ROUTES[name])]


def create_app() -> FastAPI:
    """The application; what it talks to is opened when it is first asked for.

    Pipelines that QUINTET_PIPELINES leaves out have no routes, and their systems are not asked.
    Raises UnknownPipelineError.
    """
    apply_defaults()
    pipelines = chosen_pipelines()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = Service(pipelines)
        await asyncio.to_thread(preload, service.stores.systems)
        app.state.service, app.state.access = service, service.access
        watching = asyncio.create_task(service.stores.watch())
        try:
            async with assistant.running() if assistant else contextlib.nullcontext():
                yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            service.close()

    app = FastAPI(
        title="quintet", version="1", description=DESCRIPTION, lifespan=lifespan,
        openapi_url="/openapi.json", docs_url=None, redoc_url=None,
    )  # fmt: skip
    problems.add_handlers(app)
    app.add_middleware(Bounded, larger=music_uploads.LARGER)
    app.state.metrics = Metrics()
    app.add_middleware(Timed, metrics=app.state.metrics)
    app.add_middleware(Protected)
    for one in routes_of(pipelines):
        app.include_router(one.router)
    site.add_to(app, pipelines)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    assistant = _assistant(app) if variable("QUINTET_MCP") == "on" else None
    return app


def _assistant(app: FastAPI) -> Any:
    """The tools over MCP. Its SDK is imported only here."""
    mcp_server = importlib.import_module("api.mcp_server")
    assistant = mcp_server.Assistant(app)
    app.add_route(mcp_server.PATH, assistant, methods=["POST"], include_in_schema=False)
    return assistant


def _described(app: FastAPI) -> dict[str, Any]:
    """What FastAPI derives, and the model that all problems have."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = problems.Problem.model_json_schema()
        access.describe(schema)
        app.openapi_schema = schema
    return app.openapi_schema
