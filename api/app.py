"""The application: routes, errors, limits and the page of its documentation.

Belongs here: putting these together. Does not: any route, or who serves it (``__main__.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import access, problems
from api.clients import preload
from api.limits import Bounded
from api.metrics import Metrics, Timed
from api.routes import campaigns, domains, images, music, operations, reading
from api.service import Service, variable
from assets.pipelines import apply_defaults

DESCRIPTION = """
What quintet's pipelines answer. Every answer names the batch that it rests on, when that was
written, and the Dagster run that did. Errors are problem details (RFC 9457) with a `code` that
stays the same, and `next`, what to do.
"""


def create_app() -> FastAPI:
    """The application; what it talks to is opened when it is first asked for."""
    apply_defaults()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(preload)
        service = Service()
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
    app.add_middleware(Bounded)
    app.state.metrics = Metrics()
    app.add_middleware(Timed, metrics=app.state.metrics)
    for one in (operations, campaigns, music, reading, domains, images):
        app.include_router(one.router)
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
