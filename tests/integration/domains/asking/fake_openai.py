"""A small OpenAI of this process, told by a function what to answer: what no stand-in has.

Belongs here: answers by a test's own rule, and connections that break. Does not: faults by rate,
counters by key (``local.openai_server``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PROMPT_TOKENS, COMPLETION_TOKENS = 40, 30


@dataclass
class Reply:
    """An answer; ``closed`` breaks the connection instead. ``delay`` in seconds."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    closed: bool = False


def completion(
    text: str | None,
    *,
    finish: str = "stop",
    refusal: str | None = None,
    completion_tokens: int = COMPLETION_TOKENS,
) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": completion_tokens,
            "total_tokens": PROMPT_TOKENS + completion_tokens,
        },
    }


def error(status: int, code: str, **headers: str) -> Reply:
    body = {"error": {"message": "no", "type": code, "code": code, "param": None}}
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


Rule = Callable[[dict[str, Any], int], Reply]


def last_words(body: Mapping[str, Any]) -> str:
    """Of the conversation that was sent."""
    return str(body["messages"][-1]["content"])


def echo(body: Mapping[str, Any], _number: int) -> Reply:
    return Reply(completion(last_words(body)))


class FakeOpenAI:
    """``rule`` answers a request, given its body and how many came before."""

    def __init__(self) -> None:
        self.rule: Rule = echo
        self.bodies: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.open = self.most_open = 0
        self.url = ""
        self.batches = FakeBatches(self)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(self.bodies)
        self.bodies.append(body)
        self.times.append(time.monotonic())
        reply = self.rule(body, number)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            await asyncio.sleep(reply.delay)
        finally:
            self.open -= 1
        if reply.closed:
            assert request.transport is not None
            request.transport.close()
        headers = {"x-request-id": f"req-{number}", **reply.headers}
        return web.json_response(reply.body, status=reply.status, headers=headers)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        self.batches.add_to(app)
        return app


class FakeBatches:
    """The Batch API: a batch ends when it was looked at ``looks`` times.

    ``line`` makes a line of the output or of the error file of a request, by the file's name, or
    leaves it out. ``hang_create`` seconds pass before a creation is answered, once.
    """

    def __init__(self, fake: FakeOpenAI) -> None:
        self._fake = fake
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.made: dict[str, dict[str, Any]] = {}
        self.looks = 1
        self.status = "completed"
        self.errors: list[str] = []
        self.without_error_file = False
        self.hang_create = 0.0
        self.line: Callable[[dict[str, Any], int], tuple[str, dict[str, Any]] | None] = self.good

    def good(self, asked: dict[str, Any], number: int) -> tuple[str, dict[str, Any]] | None:
        body = self._fake.rule(asked["body"], number).body
        return "output", {"response": {"status_code": 200, "request_id": "r", "body": body}}

    def add_to(self, app: web.Application) -> None:
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files", self._list_files)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list)
        app.router.add_get("/v1/batches/{id}", self._retrieve)

    def _add_file(self, name: str, content: bytes, purpose: str) -> str:
        file_id = f"file-{len(self.files)}"
        self.contents[file_id] = content
        self.files[file_id] = {
            "id": file_id, "object": "file", "bytes": len(content), "filename": name,
            "created_at": int(time.time()), "purpose": purpose, "status": "processed",
        }  # fmt: skip
        return file_id

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = form["file"]
        assert isinstance(given, web.FileField)
        file_id = self._add_file(given.filename, given.file.read(), str(form["purpose"]))
        return web.json_response(self.files[file_id])

    async def _list_files(self, request: web.Request) -> web.Response:
        return _page(
            [one for one in self.files.values() if one["purpose"] == request.query["purpose"]],
            request,
        )

    async def _content(self, request: web.Request) -> web.Response:
        content = self.contents.get(request.match_info["id"])
        return web.Response(body=content) if content is not None else _not_found()

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        batch_id = f"batch-{len(self.made)}"
        self.made[batch_id] = {
            **body, "id": batch_id, "object": "batch", "created_at": int(time.time()),
            "status": "validating", "looks": 0,
        }  # fmt: skip
        hang, self.hang_create = self.hang_create, 0.0
        await asyncio.sleep(hang)
        return web.json_response(self.made[batch_id])

    async def _list(self, request: web.Request) -> web.Response:
        return _page(list(self.made.values()), request)

    async def _retrieve(self, request: web.Request) -> web.Response:
        batch = self.made.get(request.match_info["id"])
        if batch is None:
            return _not_found()
        batch["looks"] += 1
        if batch["looks"] >= self.looks and batch["status"] == "validating":
            self._end(batch)
        return web.json_response(batch)

    def _end(self, batch: dict[str, Any]) -> None:
        asked = [json.loads(line) for line in self.contents[batch["input_file_id"]].splitlines()]
        lines: dict[str, list[str]] = {"output": [], "error": []}
        for number, one in enumerate(asked):
            if made := self.line(one, number):
                entry = {"custom_id": one["custom_id"], "response": None, "error": None, **made[1]}
                lines[made[0]].append(json.dumps(entry))
        for kind, found in lines.items():
            if found and not (kind == "error" and self.without_error_file):
                content = "\n".join(reversed(found)).encode()
                batch[f"{kind}_file_id"] = self._add_file(f"{kind}.jsonl", content, "batch_output")
        answered = len(lines["output"])
        counts = {"total": len(asked), "completed": answered, "failed": len(asked) - answered}
        batch |= {"status": self.status, "request_counts": counts}
        if self.errors:
            batch["errors"] = {"data": [{"code": code, "message": "no"} for code in self.errors]}

    def requests(self) -> int:
        """In all batches that were created."""
        return sum(
            len(self.contents[one["input_file_id"]].splitlines()) for one in self.made.values()
        )


def _page(oldest_first: list[dict[str, Any]], request: web.Request) -> web.Response:
    """Newest first, as many as asked for after the one named."""
    rows = oldest_first[::-1]
    if after := request.query.get("after"):
        rows = rows[[row["id"] for row in rows].index(after) + 1 :]
    limit = int(request.query.get("limit", 20))
    data = rows[:limit]
    return web.json_response({
        "object": "list", "data": data, "has_more": len(rows) > limit,
        "first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None,
    })  # fmt: skip


def _not_found() -> web.Response:
    return web.json_response({"error": {"message": "no such", "code": None}}, status=404)


@contextlib.contextmanager
def serving(app: web.Application) -> Iterator[str]:
    """The base URL of the app, served by a thread until the end."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, shutdown_timeout=0.1)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        port = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def fake_openai() -> Iterator[FakeOpenAI]:
    """A server of its own for one test."""
    fake = FakeOpenAI()
    with serving(fake.app()) as fake.url:
        yield fake
