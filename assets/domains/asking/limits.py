"""What asking may cost, how fast it may go, and when it gives up.

Belongs here: the limits, prices, bounds of tokens. Does not: keeping to them (``claims``,
``rate``, ``gate``). Money is whole micro-dollars; dollars a million tokens are micro-dollars a
token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

#: Tokens that the API adds around a conversation and its answer.
_OVERHEAD = 64


@dataclass(frozen=True, slots=True)
class Prices:
    """Micro-dollars a token, exact."""

    input: Decimal
    output: Decimal

    @classmethod
    def of(cls, input_price: float, output_price: float) -> Prices:
        """From dollars a million tokens. Raises ValueError for what is no price."""
        if not all(math.isfinite(price) and price >= 0 for price in (input_price, output_price)):
            raise ValueError(f"prices {input_price} and {output_price} are no dollars a million")
        return cls(Decimal(str(input_price)), Decimal(str(output_price)))

    def micros(self, prompt_tokens: int, completion_tokens: int) -> int:
        """What the tokens cost, rounded up: sums of it are never below the bill."""
        return math.ceil(prompt_tokens * self.input + completion_tokens * self.output)

    def halved(self) -> Prices:
        """Those of the Batch API."""
        return Prices(self.input / 2, self.output / 2)


@dataclass(frozen=True, slots=True)
class AskingLimits:
    """Bounds of one month's asking by any number of workers; they all should name the same.

    Prices are dollars a million tokens. ``requests_per_minute`` and ``tokens_per_minute`` are the
    account's, 0 for what the server tells in its headers. Times in seconds.
    """

    model: str
    input_price: float
    output_price: float
    budget_micros: int
    concurrency: int = 200
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    #: For one request, from its start to the last byte of its answer.
    timeout: float = 60.0
    #: Failures in a row of one prompt after which a run leaves it to the next.
    attempts: int = 8
    #: Prompts claimed at a time.
    claim: int = 50
    #: Failures in a row, of all prompts, after which one request at a time tries the server.
    breaker: int = 20
    #: How long a server that answers nobody is tried, the waits that it asks for not included.
    patience: float = 300.0
    #: The longest pause between two tries of it.
    longest_pause: float = 30.0
    progress_seconds: float = 5.0

    def __post_init__(self) -> None:
        if min(self.concurrency, self.attempts, self.claim, self.breaker) < 1:
            raise ValueError("concurrency, attempts, claim and breaker are at least 1")
        Prices.of(self.input_price, self.output_price)

    @property
    def spare(self) -> int:
        """Slots that requests move to which the server seems to have forgotten."""
        return max(1, self.concurrency // 12)

    @property
    def prices(self) -> Prices:
        """What a token costs."""
        return Prices.of(self.input_price, self.output_price)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Tokens that a request can't exceed."""

    prompt: int
    completion: int

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Bounds:
        """Of the body of a chat completion.

        Every token stands for a byte of UTF-8 at least, so that the bytes of the whole body are
        more than its tokens in any language. Raises ValueError for a body without
        max_completion_tokens, which could cost anything.
        """
        limit = request.get("max_completion_tokens")
        if not isinstance(limit, int) or limit < 1:
            raise ValueError("a request needs max_completion_tokens: without it has no worst case")
        text = json.dumps(request, ensure_ascii=False)
        size = len(text.encode("utf-8", "surrogatepass"))
        return cls(size + _OVERHEAD, limit * int(request.get("n") or 1))


def likely_tokens(prompt_bound: int, completion_bound: int) -> int:
    """What a request counts against the limit of tokens a minute: about 4 bytes a token."""
    return prompt_bound // 4 + completion_bound
