"""An OpenAI-compatible server: embeddings, chat, faults on demand, counters; and Telegram's sink.

Keys: the secret of OPENAI_SERVER_KEY, or the secret followed by ``.`` and any name. Faults,
counters and messages are kept per key, so that callers with names of their own do not meet.

``PUT /admin/faults`` sets a plan (`local.fault_plan`), ``DELETE`` ends it; ``GET /admin/counters``
reads, ``DELETE`` clears; ``GET /admin/messages`` lists what ``/bot<key>/sendMessage`` received.

Runs in the servers' environment: ``python -m local.openai_server PORT WORDLLAMA_DIRECTORY``.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.answer import Answer, answer
from local.embedder import DIMENSIONS, Embedder
from local.fault_plan import Account, FaultPlan

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_STATUSES = {
    "400": ("invalid_request_error", "The request was refused on purpose."),
    "401": ("invalid_request_error", "Incorrect API key provided."),
    "429": ("rate_limit_error", "Rate limit reached."),
    "500": ("server_error", "The server had an error."),
    "503": ("server_error", "The server is overloaded."),
}


class RefusedError(Exception):
    """A request that is answered with ``status`` and OpenAI's error body."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message = status, kind, message


class Server:
    """The behaviour behind the routes."""

    def __init__(self, key: str, embedder: Embedder) -> None:
        self._key = key
        self._embedder = embedder
        self._accounts: dict[str, Account] = defaultdict(Account)

    def account(self, key: str) -> Account:
        """What belongs to ``key``. Raises RefusedError (401) for a key that is not ours."""
        secret, _, _ = key.partition(".")
        if not hmac.compare_digest(secret.encode(), self._key.encode()):
            raise RefusedError(401, "invalid_request_error", "Incorrect API key provided.")
        return self._accounts[key]

    def embeddings(self, body: dict[str, Any], account: Account, fault: str) -> dict[str, Any]:
        """The answer to an embeddings request. Raises RefusedError (400) as OpenAI does."""
        texts = _texts(body.get("input"))
        dimensions = body.get("dimensions") or DIMENSIONS
        if not 1 <= dimensions <= DIMENSIONS:
            raise RefusedError(400, "invalid_request_error", f"dimensions: 1 to {DIMENSIONS}")
        counts = [len(self._embedder.tokens(text)) for text in texts]
        if max(counts) > _MOST_TOKENS:
            raise RefusedError(
                400, "invalid_request_error", f"at most {_MOST_TOKENS} tokens a text"
            )
        kept = {"empty": [], "truncated": texts[:-1]}.get(fault, texts)
        encode = _base64 if body.get("encoding_format") == "base64" else _floats
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": encode(self._embedder.embed(text, dimensions)),
            }
            for index, text in enumerate(kept)
        ]
        if fault == "ok":
            account.inputs += len(texts)
            account.prompt_tokens += sum(counts)
        usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
        return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}

    def chat(self, body: dict[str, Any], account: Account, fault: str) -> Answer:
        """The answer to a chat request."""
        made = answer(body, lambda text: len(self._embedder.tokens(text)))
        if fault == "truncated":
            made = made.cut()
        if fault == "ok":
            account.prompt_tokens += made.prompt_tokens
            account.completion_tokens += made.completion_tokens
        return made


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise RefusedError(400, "invalid_request_error", "input: a string or a list of strings")
    if not all(texts):
        raise RefusedError(400, "invalid_request_error", "input: cannot be an empty string")
    if len(texts) > _MOST_INPUTS:
        raise RefusedError(400, "invalid_request_error", f"input: at most {_MOST_INPUTS} texts")
    return texts


def _base64(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _floats(vector: Any) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _refusal(error: RefusedError, headers: dict[str, str] | None = None) -> Response:
    from fastapi.responses import JSONResponse

    body = {"error": {"message": error.message, "type": error.kind, "param": None, "code": None}}
    return JSONResponse(body, error.status, headers)


async def _broken(fault: str, plan: FaultPlan) -> Response | None:
    """The answer of a fault that does not depend on the request; None when the call goes on."""
    from fastapi.responses import Response, StreamingResponse

    if fault == "hang":
        await asyncio.sleep(plan.hang_seconds)
        return _refusal(RefusedError(503, "server_error", "hung on purpose"))
    if fault in _STATUSES:
        headers = {"Retry-After": f"{plan.retry_after:g}"} if fault == "429" else None
        return _refusal(RefusedError(int(fault), *_STATUSES[fault]), headers)
    if fault == "malformed":
        return Response('{"object": "list", "data": [', media_type="application/json")
    if fault == "disconnect":

        async def half() -> AsyncIterator[bytes]:
            yield b'{"object": "list", "data": ['

        return StreamingResponse(
            half(), headers={"Content-Length": "4096"}, media_type="application/json"
        )
    return None


def _stream(made: Answer, model: str, *, usage: bool) -> Response:
    from fastapi.responses import StreamingResponse

    async def events() -> AsyncIterator[str]:
        for chunk in made.chunks(model, int(time.time()), usage=usage):
            yield f"data: {json.dumps(chunk)}\n\n"
        yield "data: [DONE]\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


class Endpoints:
    """What each route does; one method per route."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def _caller(self, request: Request) -> Account:
        header = request.headers.get("authorization", "")
        return self._server.account(header.removeprefix("Bearer "))

    async def embeddings(self, request: Request) -> Response:
        """``POST /v1/embeddings``."""
        return await self._serve(request, "embeddings", self._caller(request))

    async def chat(self, request: Request) -> Response:
        """``POST /v1/chat/completions``."""
        return await self._serve(request, "chat", self._caller(request))

    async def send_message(self, request: Request) -> Response:
        """``POST /bot<key>/sendMessage`` of Telegram's API."""
        account = self._server.account(request.path_params["token"])
        return await self._serve(request, "telegram", account)

    async def health(self, _request: Request) -> Response:
        """``GET /health``, without a key."""
        return _json({"status": "ok"})

    async def set_faults(self, request: Request) -> Response:
        """``PUT /admin/faults``: a new plan. 400 for what is no plan."""
        try:
            self._caller(request).plan = FaultPlan.parse(json.loads(await request.body()))
        except ValueError as error:
            raise RefusedError(400, "invalid_request_error", str(error)) from error
        return _json({"status": "ok"})

    async def end_faults(self, request: Request) -> Response:
        """``DELETE /admin/faults``."""
        self._caller(request).plan = FaultPlan()
        return _json({"status": "ok"})

    async def counters(self, request: Request) -> Response:
        """``GET /admin/counters``."""
        return _json(self._caller(request).counters())

    async def clear_counters(self, request: Request) -> Response:
        """``DELETE /admin/counters``; the plan stays."""
        self._caller(request).clear()
        return _json({"status": "ok"})

    async def messages(self, request: Request) -> Response:
        """``GET /admin/messages``: what Telegram was sent."""
        return _json(self._caller(request).messages)

    async def _serve(self, request: Request, endpoint: str, account: Account) -> Response:
        with account.call(endpoint):
            if account.plan.latency:
                await asyncio.sleep(account.plan.latency)
            fault = account.plan.next(endpoint)
            if fault != "ok":
                account.faults[fault] += 1
            broken = await _broken(fault, account.plan)
            if broken is not None:
                return broken
            result = self._reply(endpoint, _parse(await request.body()), account, fault)
            if fault == "ok":
                account.answered[endpoint] += 1
            return result

    def _reply(self, endpoint: str, body: dict[str, Any], account: Account, fault: str) -> Response:
        if endpoint == "telegram":
            account.messages.append(body)
            return _json({"ok": True, "result": {"message_id": len(account.messages), **body}})
        if endpoint == "embeddings":
            return _json(self._server.embeddings(body, account, fault))
        made = self._server.chat(body, account, fault)
        model = str(body.get("model"))
        if body.get("stream"):
            options = body.get("stream_options") or {}
            return _stream(made, model, usage=bool(options.get("include_usage")))
        return _json(made.body(model, int(time.time()), choices=fault != "empty"))


def _parse(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError as error:
        raise RefusedError(400, "invalid_request_error", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "invalid_request_error", "the body is not a JSON object")
    return body


def _json(content: Any) -> Response:
    from fastapi.responses import JSONResponse

    return JSONResponse(content)


def create_app(server: Server) -> FastAPI:
    """The routes."""
    from fastapi import FastAPI

    async def refused(_request: Request, error: Exception) -> Response:
        if not isinstance(error, RefusedError):
            raise error
        return _refusal(error)

    app = FastAPI(docs_url=None, openapi_url=None, redoc_url=None)
    app.add_exception_handler(RefusedError, refused)
    endpoints = Endpoints(server)
    # Plain routes: bodies are parsed here, in OpenAI's words, not by FastAPI's validation.
    for method, path, endpoint in (
        ("POST", "/v1/embeddings", endpoints.embeddings),
        ("POST", "/v1/chat/completions", endpoints.chat),
        ("POST", "/bot{token}/sendMessage", endpoints.send_message),
        ("GET", "/health", endpoints.health),
        ("PUT", "/admin/faults", endpoints.set_faults),
        ("DELETE", "/admin/faults", endpoints.end_faults),
        ("GET", "/admin/counters", endpoints.counters),
        ("DELETE", "/admin/counters", endpoints.clear_counters),
        ("GET", "/admin/messages", endpoints.messages),
    ):
        app.add_route(path, endpoint, methods=[method])
    return app


def main(port: int, wordllama: Path) -> None:
    """Serve until SIGTERM."""
    import uvicorn

    app = create_app(Server(os.environ["OPENAI_SERVER_KEY"], Embedder(wordllama)))
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
