"""What a request leaves in the ledger: its attempt, its cost, and the new state of its prompt.

Belongs here: the row that the statement SETTLE takes, made from an answer or a failure. Does not:
writing it (``writer``).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from assets.domains.asking.calling import Failure, Paid
from assets.domains.asking.claims import Claim
from assets.domains.asking.limits import Bounds, Prices
from assets.domains.asking.outcome import Completion, Verdict

Mode = Literal["direct", "batch"]

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0


@dataclass(frozen=True, slots=True)
class Settlement:
    """One row of the statement's record set; ``wait`` is seconds until the next request."""

    prompt_hash: str
    attempt: int
    mode: Mode
    result: str
    paid: Paid
    prompt_tokens: int
    completion_tokens: int
    cost: int
    written_off: int
    state: str
    failures: int
    wait: float
    reask: Mapping[str, Any] | None
    prompt_bound: int
    completion_bound: int
    answer: str | None = None
    outcome: str | None = None
    reason: str | None = None
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    request_id: str | None = None
    error: str | None = None


_NAMES = tuple(field.name for field in fields(Settlement))


def as_json(settlements: Iterable[Settlement]) -> str:
    """The parameter of the statement SETTLE."""
    return json.dumps([{name: getattr(one, name) for name in _NAMES} for one in settlements])


def of_answer(
    claim: Claim, answered: Completion, verdict: Verdict, prices: Prices, mode: Mode = "direct"
) -> Settlement:
    """An answer, good or not, or the second request that it needs."""
    reask = verdict.reask
    bounds = Bounds.of(reask.request(claim.first)) if reask else claim.bounds
    tokens = answered.prompt_tokens, answered.completion_tokens
    return Settlement(
        prompt_hash=claim.prompt_hash,
        attempt=claim.attempt,
        mode=mode,
        result=verdict.result,
        paid="yes" if any(tokens) else "no",
        prompt_tokens=tokens[0],
        completion_tokens=tokens[1],
        cost=prices.micros(*tokens),
        written_off=0,
        state=verdict.state,
        failures=0,
        wait=0.0,
        reask=(reask or claim.reask).stored(),
        prompt_bound=bounds.prompt,
        completion_bound=bounds.completion,
        answer=verdict.text,
        outcome=None if reask else verdict.result,
        reason=verdict.reason,
        finish_reason=answered.finish_reason,
        usage=answered.usage,
        request_id=answered.request_id,
    )


def of_failure(
    claim: Claim, failure: Failure, prices: Prices, mode: Mode = "direct", *, fatal: bool = False
) -> Settlement:
    """No answer: the prompt is pending again. A ``fatal`` failure is none of the prompt's."""
    cost = prices.micros(failure.prompt_tokens, failure.completion_tokens)
    return Settlement(
        prompt_hash=claim.prompt_hash,
        attempt=claim.attempt,
        mode=mode,
        result=failure.kind,
        paid=failure.paid,
        prompt_tokens=failure.prompt_tokens,
        completion_tokens=failure.completion_tokens,
        cost=cost,
        written_off=claim.reserved if failure.paid == "maybe" else 0,
        state="pending",
        failures=claim.failures if fatal else claim.failures + 1,
        wait=0.0 if fatal else _wait(claim, failure),
        reask=claim.reask.stored(),
        prompt_bound=claim.bounds.prompt,
        completion_bound=claim.bounds.completion,
        error=failure.kind,
    )


def _wait(claim: Claim, failure: Failure) -> float:
    # What has timed out has waited already.
    if failure.kind == "timeout" and failure.paid == "maybe" and not claim.failures:
        return 0.0
    return wait_after(claim.failures, failure.retry_after)


def wait_after(failures: int, retry_after: float | None) -> float:
    """Seconds until the next request of a prompt, spread so that they don't come all at once.

    Never shorter than the server asks for, whatever that is.
    """
    if retry_after is not None:
        return retry_after + random.uniform(0, min(2.0, 0.25 * retry_after + 0.1))  # noqa: S311
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failures, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311
