"""The routes: from a request to what answers it, and the counting of its status.

Belongs here: paths, keys, faults of the endpoints that have no more to say. Does not: behaviour
(a module per endpoint). Plain ASGI: a framework's layers cost more than an answer does.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from local.embedder import Embedder
from local.fault_plan import BAD_VECTORS
from local.openai import admin, stored, telegram, webhook
from local.openai.account import Account
from local.openai.batches import Batches
from local.openai.broken import begin, broken, parse
from local.openai.chat import Chat
from local.openai.embeddings import embeddings
from local.openai.errors import RefusedError, not_found, refusal
from local.openai.stored import Handler
from local.openai.telegram import TelegramError

#: Faults whose answer is made as usual and then spoilt.
_SPOILT = frozenset(("ok", "empty", "truncated", "refusal", "content_filter"))


class App:
    """The server's behaviour, by keys: the secret, or the secret followed by ``.`` and a name."""

    def __init__(self, key: str, embedder: Embedder) -> None:
        self._key, self._embedder = key, embedder
        self._accounts: dict[str, Account] = defaultdict(Account)
        self._chat = Chat(embedder)
        self._batches = Batches(self._chat.line)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path == "/health":
            return JSONResponse({"status": "ok"})
        if path.startswith("/bot"):
            return await self._telegram(request, *path.removeprefix("/bot").rpartition("/")[::2])
        try:
            account = self._account(request.headers.get("authorization", ""))
            if path.startswith("/admin/"):
                return await admin.answer(request, path.removeprefix("/admin/"), account)
            if path == "/webhook":
                return await webhook.take(request, account)
            return await self._counted(request, path, account)
        except RefusedError as error:
            return error.response()

    def _account(self, header: str) -> Account:
        """What belongs to a key. Raises RefusedError (401) for one that is not ours."""
        key = header.removeprefix("Bearer ")
        if not hmac.compare_digest(key.partition(".")[0].encode(), self._key.encode()):
            raise refusal("401")
        return self._accounts[key]

    async def _counted(self, request: Request, path: str, account: Account) -> Response:
        """A call of OpenAI's API. Raises RefusedError (404) for a path that has none."""
        endpoint, handler = self._route(request.method, path)
        status = 0
        with account.call(endpoint):
            try:
                response = await handler(request, account)
                status = response.status_code
            except RefusedError as error:
                response = error.response()
                status = error.status
            finally:
                account.statuses[endpoint, status] += 1
        response.headers.update(account.limits.headers())
        return response

    def _route(self, method: str, path: str) -> tuple[str, Handler]:
        """The name of an endpoint and what answers it. Raises RefusedError (404)."""
        match method, path:
            case "POST", "/v1/chat/completions":
                return "chat", self._chat.serve
            case "POST", "/v1/embeddings":
                return "embeddings", self._embeddings
            case "POST", "/v1/batches":
                return "batch_create", self._create_batch
        found = stored.route(method, path.removeprefix("/v1/").split("/"))
        if found is None:
            raise not_found(f"Invalid URL ({method} {path})")
        endpoint, handler = found
        return endpoint, _faulty(endpoint, handler)

    async def _embeddings(self, request: Request, account: Account) -> Response:
        body = parse(await request.body())
        fault = await begin(account, "embeddings")
        if fault not in _SPOILT | BAD_VECTORS:
            return await broken(fault, account.plan)
        made = embeddings(body, account, fault, self._embedder)
        account.answered["embeddings"] += fault == "ok"
        # Not JSONResponse, which refuses NaN: some servers send it.
        return Response(json.dumps(made), media_type="application/json")

    async def _create_batch(self, request: Request, account: Account) -> Response:
        body = parse(await request.body())
        fault = await begin(account, "batch_create")
        if fault not in _SPOILT | {"hang", "late"}:
            return await broken(fault, account.plan)
        made = self._batches.create(account, body)
        if fault in {"hang", "late"}:
            return await broken(fault, account.plan)
        account.answered["batch_create"] += 1
        return JSONResponse(made.body())

    async def _telegram(self, request: Request, token: str, method: str) -> Response:
        try:
            account = self._account(token)
        except RefusedError as error:
            return _refused(TelegramError(error.status, "Unauthorized"))
        body = await request.body()
        status = 500
        with account.call("telegram"):
            try:
                response = await self._bot(request, method, account, body)
                status = response.status_code
            except (TelegramError, RefusedError) as error:
                status = error.status
                response = _refused(error)
            finally:
                account.statuses["telegram", status] += 1
        return response

    async def _bot(self, request: Request, method: str, account: Account, body: bytes) -> Response:
        fault = await begin(account, "telegram")
        if error := telegram.fault(fault, account.plan.retry_after):
            raise error
        if fault not in _SPOILT | {"late"}:
            return await broken(fault, account.plan)
        match method:
            case "getMe":
                answered = telegram.me()
            case "sendMessage":
                answered = telegram.send(account, _given(request, body))
            case _:
                raise TelegramError(404, "Not Found")
        if fault == "late":
            await asyncio.sleep(account.plan.hang_seconds)
        account.answered["telegram"] += fault == "ok"
        return JSONResponse(answered)


def _faulty(endpoint: str, handler: Handler) -> Handler:
    async def handled(request: Request, account: Account) -> Response:
        # The body is read before any wait: a client that is cut off has sent all of it or nothing.
        await request.body()
        fault = await begin(account, endpoint)
        if fault not in _SPOILT:
            return await broken(fault, account.plan)
        return await handler(request, account)

    return handled


def _given(request: Request, body: bytes) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        form = dict(parse_qsl(body.decode()))
        if form:
            return form
    return parse(body)


def _refused(error: TelegramError | RefusedError) -> Response:
    if isinstance(error, RefusedError):
        error = TelegramError(error.status, error.message)
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse(error.body(), error.status, headers)
