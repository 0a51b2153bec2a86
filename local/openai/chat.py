"""``/v1/chat/completions``: one call from its arrival to its answer, and the lines of a batch.

Belongs here: limits, faults, what is counted and when. Does not: the text (`local.openai.answer`).
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from local.embedder import Embedder
from local.fault_plan import STATUSES
from local.openai.account import Account, Prompt
from local.openai.answer import Answer, answer
from local.openai.broken import begin, broken, cut_off, parse
from local.openai.errors import invalid, refusal

_MOST_CHOICES = 128
#: The real service counts characters, too, before it has tokens.
_CHARACTERS_A_TOKEN = 4
_DEFAULT_ANSWER = 16


class Chat:
    """The behaviour of the endpoint."""

    def __init__(self, embedder: Embedder) -> None:
        # System messages and summaries come again and again.
        self._count = functools.lru_cache(8192)(lambda text: len(embedder.tokens(text)))

    async def serve(self, request: Request, account: Account) -> Response:
        """Answer a request. Raises RefusedError."""
        body = parse(await request.body())
        check(body)
        prompt = account.ask(body["messages"])
        account.limits.take(expected_tokens(body))
        fault = await begin(account, "chat")
        if fault in STATUSES or fault == "hang":
            return await broken(fault, account.plan)
        made = answer(body, self._count, fault)
        account.paid.add(made.prompt_tokens, made.completion_tokens)
        lost = fault in {"malformed", "disconnect", "late"} or await request.is_disconnected()
        _settle(account, prompt, made, fault, lost=lost)
        return await _response(body, made, fault, account)

    def line(self, body: dict[str, Any], account: Account) -> dict[str, Any]:
        """The answer to a line of a batch. Raises RefusedError; what breaks a connection is a 500.

        Counted apart, as ``batched``.
        """
        check(body)
        prompt = account.ask(body["messages"])
        fault = account.plan.next("batch_line")
        if fault != "ok":
            account.faults[fault] += 1
        if fault in STATUSES:
            raise refusal(fault)
        if fault in {"hang", "late", "malformed", "disconnect"}:
            raise refusal("500")
        made = answer(body, self._count, fault)
        account.batched.add(made.prompt_tokens, made.completion_tokens)
        prompt.paid += 1
        prompt.ok += fault == "ok"
        prompt.received += fault == "ok"
        return _completion(body, made, fault)


def check(body: dict[str, Any]) -> None:
    """Raises RefusedError (400) for what OpenAI would not take either."""
    if not isinstance(body.get("model"), str):
        raise invalid("you must provide a model parameter")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise invalid("messages: a list with one message at least", param="messages")
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        raise invalid("messages: each has a role and content", param="messages")
    if not 1 <= _whole(body, "n", 1) <= _MOST_CHOICES:
        raise invalid(f"n: 1 to {_MOST_CHOICES}", param="n", code="integer_out_of_range")
    for name in ("max_completion_tokens", "max_tokens"):
        if _whole(body, name, 1) < 1:
            raise invalid(f"{name}: at least 1", param=name, code="integer_below_min_value")


def _whole(body: dict[str, Any], name: str, default: int) -> int:
    value = default if body.get(name) is None else body[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(f"{name}: a whole number", param=name, code="invalid_type")
    return value


def expected_tokens(body: dict[str, Any]) -> float:
    """What the limit on tokens counts when a call arrives: the prompt and the most answered."""
    characters = sum(len(str(message.get("content") or "")) for message in body["messages"])
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or _DEFAULT_ANSWER
    return characters // _CHARACTERS_A_TOKEN + int(limit) * int(body.get("n") or 1)


def _settle(account: Account, prompt: Prompt, made: Answer, fault: str, *, lost: bool) -> None:
    good = fault in {"ok", "malformed", "disconnect", "late"}
    prompt.paid += 1
    prompt.ok += good
    if lost:
        account.lost.add(made.prompt_tokens, made.completion_tokens)
    else:
        prompt.received += good


async def _response(body: dict[str, Any], made: Answer, fault: str, account: Account) -> Response:
    if fault == "late":
        await asyncio.sleep(account.plan.hang_seconds)
    completion = _completion(body, made, fault)
    if fault in {"malformed", "disconnect"}:
        return cut_off(json.dumps(completion), fault)
    if fault == "ok":
        account.answered["chat"] += 1
    if not body.get("stream"):
        return JSONResponse(completion)
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return StreamingResponse(
        _events(made, body["model"], usage=usage), media_type="text/event-stream"
    )


def _completion(body: dict[str, Any], made: Answer, fault: str) -> dict[str, Any]:
    completion = made.body(body["model"], int(time.time()))
    return {**completion, "choices": []} if fault == "empty" else completion


async def _events(made: Answer, model: str, *, usage: bool) -> AsyncIterator[str]:
    for chunk in made.chunks(model, int(time.time()), usage=usage):
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"
