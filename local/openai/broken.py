"""Answers that are none, and bodies that can't be read.

Belongs here: faults that look the same at every endpoint. Does not: which call has one
(`local.fault_plan`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from local.fault_plan import FaultPlan
from local.openai.account import Account
from local.openai.errors import invalid, refusal


async def begin(account: Account, endpoint: str) -> str:
    """The fault of a call, drawn, counted and delayed."""
    fault = account.plan.next(endpoint)
    if fault != "ok":
        account.faults[fault] += 1
    if delay := account.plan.delay(fault):
        await asyncio.sleep(delay)
    return fault


async def broken(fault: str, plan: FaultPlan) -> Response:
    """The answer of a status, or of a hang when it ends. Raises RefusedError."""
    if fault in {"hang", "late"}:
        await asyncio.sleep(plan.hang_seconds)
        raise refusal("503")
    if fault in {"malformed", "disconnect"}:
        return cut_off('{"object": "list", "data": []}', fault)
    raise refusal(fault, retry_after=plan.retry_after)


def cut_off(body: str, fault: str) -> Response:
    """Half of ``body``: as a whole answer (malformed), or with the connection closed on it."""
    content = body[: len(body) // 2].encode()
    if fault == "malformed":
        return Response(content, media_type="application/json")

    async def half() -> AsyncIterator[bytes]:
        yield content

    headers = {"Content-Length": str(len(body) + 4096)}
    return StreamingResponse(half(), headers=headers, media_type="application/json")


def parse(content: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises RefusedError (400)."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise invalid("We could not parse the JSON body of your request.") from error
    if not isinstance(body, dict):
        raise invalid("The body of your request is not a JSON object.")
    return body
