"""``/admin/…``: what tests and demos set and read; nothing that OpenAI or Telegram have.

Belongs here: these routes. Does not: what they show (`local.openai.account`).
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.fault_plan import FaultPlan
from local.openai.account import Account
from local.openai.errors import invalid, not_found

_DONE = {"status": "ok"}


async def answer(request: Request, what: str, account: Account) -> Response:
    """Answer one of these. Raises RefusedError (400 for what is no plan, 404 for no route)."""
    match request.method, what:
        case "PUT", "faults":
            try:
                account.follow(FaultPlan.parse(json.loads(await request.body())))
            except (ValueError, TypeError) as error:
                raise invalid(str(error)) from error
            return JSONResponse(_DONE)
        case "DELETE", "faults":
            account.follow(FaultPlan())
            return JSONResponse(_DONE)
        case "DELETE", "counters":
            account.clear()
            return JSONResponse(_DONE)
        case "GET", _:
            return JSONResponse(_kept(request, what, account))
    raise not_found(f"no such page: {request.method} {what}")


def _kept(request: Request, what: str, account: Account) -> Any:
    """What the account has kept. Raises RefusedError (404)."""
    match what:
        case "counters":
            return account.counters()
        case "prompts":
            return _prompts(account, messages="messages" in request.query_params)
        case "messages":
            return [one["given"] for one in account.sent]
        case "hooked":
            return list(account.hooked.values())
    raise not_found(f"no such page: {request.method} {what}")


def _prompts(account: Account, *, messages: bool) -> dict[str, Any]:
    """Counts by hash of the messages (`local.openai.account.prompt_hash`)."""
    return {
        name: {
            "asked": one.asked,
            "paid": one.paid,
            "ok": one.ok,
            "received": one.received,
            **({"messages": one.messages} if messages else {}),
        }
        for name, one in account.prompts.items()
    }
