"""One request to OpenAI: an answer, a failure that passes, or one that no attempt will change.

Belongs here: sending, and telling failures apart: whether another attempt may help, when, and
whether this one may have been paid for. Does not: what an answer is worth (``outcome``), when the
next is sent (``engine``).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.domains.asking.outcome import Completion, MalformedError, read_completion
from landing.batch.failures import PermanentError
from resources import retryable
from resources.polite_http import retry_after

if TYPE_CHECKING:
    import httpx2
    import openai

Paid = Literal["yes", "no", "maybe"]

_PATH = "chat/completions"
_TOO_MANY = 429
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
#: The client's own timeouts end earlier; this one is for answers that come a drop at a time.
_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer. ``kind`` is a status or a word; ``retry_after`` what the server asked for.

    ``full``: the account's limit is used up, by the server's own headers.
    """

    kind: str
    paid: Paid
    retry_after: float | None = None
    full: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """The limits a minute in an answer's headers."""

    requests: float | None = None
    tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a request, and what the server told beside it."""

    result: Completion | Failure
    told: Told = Told()


class RequestRefusedError(PermanentError):
    """A status that no attempt will change; ``kind`` names it in the ledger."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


async def call(client: openai.AsyncOpenAI, body: Mapping[str, Any], seconds: float) -> Answered:
    """Send one request and read its answer, in at most ``seconds``. Raises RequestRefusedError."""
    import httpx2
    import openai

    try:
        async with asyncio.timeout(seconds + _GRACE):
            # Absolute: putting a path behind the base URL takes a tenth of a call's CPU.
            url = f"{client.base_url}{_PATH}"
            response = await client.post(url, body=dict(body), cast_to=httpx2.Response)
    except openai.APIStatusError as error:
        return Answered(_refused(error), _told(error.response.headers))
    except TimeoutError:
        return Answered(Failure("timeout", "maybe"))
    except openai.APIConnectionError as error:
        return Answered(lost_connection(error))
    told = _told(response.headers)
    try:
        return Answered(
            read_completion(response.content, response.headers.get("x-request-id")), told
        )
    except MalformedError as error:
        tokens = error.prompt_tokens, error.completion_tokens
        return Answered(
            Failure(error.kind, "yes" if any(tokens) else "maybe", None, False, *tokens)
        )


def malformed_answer(error: MalformedError) -> Failure:
    """A 200 that answers nothing: paid, if it names tokens all the same."""
    tokens = error.prompt_tokens, error.completion_tokens
    return Failure(
        error.kind,
        "yes" if any(tokens) else "maybe",
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
    )


def lost_connection(error: openai.APIConnectionError) -> Failure:
    """What became of a request without an answer: unpaid, if none of it was sent.

    By the transport's error, not the client's: the adapter's name for a connection that broke off
    in the middle is ConnectTimeout.
    """
    import aiohttp
    import httpx2
    import openai

    causes = list(_causes(error))
    aio = [one for one in causes if isinstance(one, aiohttp.ClientError)]
    if aio:
        never_sent = isinstance(
            aio[-1], aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError
        )
        timeout = isinstance(aio[-1], TimeoutError)
    else:
        unsent = httpx2.ConnectTimeout | httpx2.ConnectError | httpx2.PoolTimeout
        never_sent = any(isinstance(one, unsent) for one in causes)
        timeout = isinstance(error, openai.APITimeoutError)
    return Failure("timeout" if timeout else "connection", "no" if never_sent else "maybe")


def _refused(error: openai.APIStatusError) -> Completion | Failure:
    status, code = error.status_code, error.code or error.type
    headers = error.response.headers
    request_id = headers.get("x-request-id")
    if code in _FILTERED:
        return Completion("", "", "content_filter", 0, 0, {}, request_id)
    if "insufficient_quota" in {error.code, error.type}:
        raise RequestRefusedError(
            "insufficient_quota",
            "OpenAI says that the account has no credit left (insufficient_quota): add credit or"
            " raise its limit, then run this again; what was answered stays",
        ) from None  # its body may quote the key
    if status not in retryable.OPENAI_STATUSES:
        raise RequestRefusedError(
            str(status), _advice(status, error)
        ) from None  # its body may quote the key
    wait = retry_after(headers.get("retry-after"), time.time()) or _milliseconds(headers)
    full = status == _TOO_MANY and any(
        headers.get(f"x-ratelimit-remaining-{what}") == "0" for what in ("requests", "tokens")
    )
    return Failure(str(status), "no", wait, full)


_WHAT_TO_DO = {
    401: "check OPENAI_API_KEY",
    403: "check that the key's project may use the model, and from this country",
    404: "check the model's name and OPENAI_BASE_URL",
}


def _advice(status: int, error: openai.APIStatusError) -> str:
    do = _WHAT_TO_DO.get(status, "the request itself is wrong: check the model and its parameters")
    # The body's own message can quote the key or the prompt: only its code is repeated.
    said = error.code or error.type or "no code"
    return f"OpenAI answered {status} ({said}): {do}, then run this again"


def _milliseconds(headers: httpx2.Headers) -> float | None:
    try:
        return max(0.0, float(headers.get("retry-after-ms", ""))) / 1000
    except ValueError:
        return None


def _told(headers: httpx2.Headers) -> Told:
    return Told(
        *(_number(headers.get(f"x-ratelimit-limit-{what}")) for what in ("requests", "tokens"))
    )


def _number(header: str | None) -> float | None:
    try:
        return float(header or "") or None
    except ValueError:
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
