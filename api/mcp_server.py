"""The tools over MCP, the protocol by which assistants ask (streamable HTTP, stateless).

Belongs here: the protocol. Does not: which tools there are (``tools.py``), any question: a tool is
asked as its route, by the key that has been admitted, and has no code of its own.

Imported only where the service is to speak it: the SDK costs what a few routes cost.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, cast

import httpx  # noqa: TID253  this module is itself imported only where it is needed
from fastapi import FastAPI
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
    ToolAnnotations,
)
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from api import access, tools
from api.limits import BODY_BYTES
from api.problems import ProblemError

PATH = "/mcp"
_INSTRUCTIONS = (
    "What quintet's data pipelines answer; nothing is written. Each answer names in rests_on the"
    " batch that it rests on, when that was written, and the page of the run that did. An error has"
    " a code, and says in next what to do."
)
_READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
_ANSWERED = 200


class Assistant:
    """The endpoint of one application; a key with the scope ``read`` opens it."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._tools = tools.of(app.openapi())
        self._manager = self._made()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the application runs."""
        # One serves once, and an application may run again.
        self._manager = self._made()
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One message, as a request counts: see the ASGI specification."""
        await access.admitted(Request(scope, receive), "read")
        await self._manager.handle_request(scope, receive, send)

    def _made(self) -> StreamableHTTPSessionManager:
        server: Server[Any] = Server(
            "quintet",
            version=self._app.version,
            instructions=_INSTRUCTIONS,
            on_list_tools=self._listed,
            on_call_tool=self._called,
        )
        return StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=BODY_BYTES
        )

    async def _listed(self, _: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(
            tools=[
                Tool(
                    name=one.name,
                    description=one.description,
                    input_schema=one.input,
                    output_schema=one.output,
                    annotations=_READS,
                )
                for one in self._tools.values()
            ]
        )

    async def _called(
        self, context: ServerRequestContext[Any, Request], params: CallToolRequestParams
    ) -> CallToolResult:
        tool = self._tools.get(params.name)
        if tool is None:
            return _failed(_unknown(params.name, self._tools).problem.model_dump())
        try:
            target = tool.target(params.arguments or {})
        except ProblemError as error:
            return _failed(error.problem.model_dump())
        said = await self._asked(target, cast("Request", context.request))
        if said.status_code != _ANSWERED:
            return _failed(said.json())
        answer = tool.answered(said.json())
        return CallToolResult(content=[_text(answer)], structured_content=answer)

    async def _asked(self, target: str, asking: Request) -> httpx.Response:
        """What the route answers, in this process."""
        key = asking.state.key

        async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
            # It has been counted once.
            scope["state"] = {"key": key}
            await self._app(scope, receive, send)

        transport = httpx.ASGITransport(admitted, raise_app_exceptions=False)
        said = await transport.handle_async_request(httpx.Request("GET", f"http://mcp{target}"))
        await said.aread()
        return said


def _failed(problem: dict[str, Any]) -> CallToolResult:
    """A problem as a tool's error: text for who reads, the members for who decides."""
    said = f"{problem['title']}: {problem['detail']} ({problem['code']}). {problem['next']}"
    return CallToolResult(
        content=[TextContent(type="text", text=said)], structured_content=problem, is_error=True
    )


def _unknown(name: str, there: dict[str, tools.Tool]) -> ProblemError:
    return ProblemError(
        404, "unknown_tool", "There is no such tool", f"no tool {name!a}",
        then=f"Call one of {', '.join(there)}.",
    )  # fmt: skip


def _text(answer: dict[str, Any]) -> TextContent:
    return TextContent(type="text", text=json.dumps(answer, ensure_ascii=False))
