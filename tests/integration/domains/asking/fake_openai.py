"""A small OpenAI of this process, told by a function what to answer: what no stand-in has.

Belongs here: answers by a test's own rule, and connections that break. Does not: faults by rate,
counters by key (``local.openai_server``).
"""

from __future__ import annotations

import asyncio
import contextlib
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
        return app


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
