"""An address that takes alerts as JSON and keeps them, as any service's webhook does.

Belongs here: taking one message. Does not: faults (`local.fault_plan`), showing them (`admin`).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from local.openai.account import Account
from local.openai.broken import begin, broken, parse

_TAKEN = 204


async def take(request: Request, account: Account) -> Response:
    """Keep a message with the key that names it; the same key again changes nothing.

    Raises RefusedError for a fault of the plan and for a body that is no JSON object.
    """
    body = parse(await request.body())
    fault = await begin(account, "webhook")
    if fault != "ok":
        return await broken(fault, account.plan)
    account.hooked.setdefault(request.headers.get("idempotency-key", ""), body)
    return Response(status_code=_TAKEN)
