"""Which call of the OpenAI-compatible server fails, and how: by script, then by rate.

Belongs here: the plan and the counters of one caller. Does not: HTTP (`local.openai_server`).
"""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: ok: none. 400, 401, 429 (with Retry-After), 500, 503: that status. hang: no answer for
#: ``hang_seconds``. malformed: 200 whose body is not JSON. empty: 200 without choices or data.
#: truncated: a chat answer cut with finish_reason "length", or fewer vectors than inputs.
#: disconnect: the connection breaks off in the middle of the body.
KINDS = frozenset(
    (
        "ok",
        "400",
        "401",
        "429",
        "500",
        "503",
        "hang",
        "malformed",
        "empty",
        "truncated",
        "disconnect",
    )
)


@dataclass
class FaultPlan:
    """What is to go wrong for one key.

    ``script`` is used up first, one entry per call; then each kind of ``rates`` strikes with its
    probability, by a generator seeded with ``seed``. ``endpoints`` limits both ("embeddings",
    "chat", "telegram"); empty means all. ``latency`` delays every answer. Times in seconds.
    """

    script: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    endpoints: list[str] = field(default_factory=list)
    retry_after: float = 1.0
    hang_seconds: float = 3600.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        unknown = [kind for kind in (*self.script, *self.rates) if kind not in KINDS]
        if unknown:
            raise ValueError(f"unknown fault {unknown[0]!r}, known are {sorted(KINDS)}")
        if sum(self.rates.values()) > 1:
            raise ValueError("the rates add up to more than 1")
        self._random = random.Random(self.seed)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> FaultPlan:
        """The plan of a request body. Raises ValueError for what is no plan."""
        try:
            return cls(**body)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def next(self, endpoint: str) -> str:
        """What happens to this call."""
        if self.endpoints and endpoint not in self.endpoints:
            return "ok"
        if self.script:
            return self.script.pop(0)
        drawn = self._random.random()
        for kind, rate in self.rates.items():
            if drawn < rate:
                return kind
            drawn -= rate
        return "ok"


@dataclass
class Account:
    """What one key did: counters, fault plan, messages sent to Telegram."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    inputs: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    open_calls: int = 0
    most_open_calls: int = 0
    messages: list[dict[str, Any]] = field(default_factory=list)

    @contextlib.contextmanager
    def call(self, endpoint: str) -> Iterator[None]:
        """Count a request and that it is open."""
        self.calls[endpoint] += 1
        self.open_calls += 1
        self.most_open_calls = max(self.most_open_calls, self.open_calls)
        try:
            yield
        finally:
            self.open_calls -= 1

    def clear(self) -> None:
        """Count from zero; the plan and the calls that are open stay."""
        fresh = Account(plan=self.plan, open_calls=self.open_calls)
        self.__dict__.update(fresh.__dict__)

    def counters(self) -> dict[str, Any]:
        """``calls`` counts every request, ``answered`` and the sums only those without a fault."""
        return {
            "calls": dict(self.calls),
            "answered": dict(self.answered),
            "faults": dict(self.faults),
            "inputs": self.inputs,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "most_open_calls": self.most_open_calls,
        }
