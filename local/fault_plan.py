"""Which call of a stand-in server fails, and how: by script, then by rate.

Belongs here: the plan and the counters of one caller. Does not: HTTP, nor what a fault looks like
(`local.openai`, `local.music_services`).
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Statuses, with the body of the real service; 429 has Retry-After, insufficient_quota is a 429
#: without.
STATUSES = frozenset(("400", "401", "403", "408", "409", "429", "500", "503", "insufficient_quota"))
#: Refused before any work: these come without the delay of an answer.
_AT_THE_DOOR = frozenset(("400", "401", "403", "409", "429", "insufficient_quota"))
#: hang: no answer for ``hang_seconds``, nothing generated (a batch is made all the same). late: the
#: answer is generated, and sent after ``hang_seconds``. malformed: 200 whose body is not JSON.
#: disconnect: the connection breaks off in the middle of the body. empty: 200 without choices or
#: data. truncated: a chat answer cut with finish_reason "length", or fewer vectors than inputs.
BREAKS = frozenset(("hang", "late", "malformed", "disconnect", "empty", "truncated"))
#: Chat answers that are whole and no good. wrong_number: a figure that the prompt lacks. bullets:
#: several lines. other_domain: names another domain than the prompt.
BAD_ANSWERS = frozenset(("refusal", "content_filter", "wrong_number", "bullets", "other_domain"))
#: What is wrong with the first vector of an answer.
BAD_VECTORS = frozenset(("null_vector", "nan_vector", "zero_vector", "short_vector"))
#: Lyrics around which, or instead of which, the service says something of its own.
OWN_WORDS = frozenset(("credited", "placeholder"))
KINDS = STATUSES | BREAKS | BAD_ANSWERS | BAD_VECTORS | OWN_WORDS | {"ok"}

#: What becomes of a batch's lines. mixed: every tenth fails. expired: the first half is answered.
#: all_failed: completed, without an output file. no_error_file: as mixed, the failed are listed
#: nowhere. failed: refused by validation.
BATCH_MODES = frozenset(("ok", "mixed", "expired", "all_failed", "no_error_file", "failed"))


@dataclass
class FaultPlan:
    """What is to go wrong for one key. Times in seconds; a limit of 0 is none.

    ``script`` is used up first, one entry per call; then each kind of ``rates`` strikes with its
    probability, by a generator seeded with ``seed``. ``endpoints`` limits both ("embeddings",
    "chat", "telegram", "files", "file_upload", "batches", "batch_create", "batch_line" …); empty
    means all but "batch_line", the calls within a batch.

    ``latency`` delays every answer, and a lognormal time with the median ``latency_p50`` those that
    take work. Limits on requests and tokens (of the prompt, and the most that may be answered) are
    buckets that hold ``limit_burst`` seconds' worth; above them is 429 with Retry-After, at least
    ``retry_after``. ``chat_per_second`` and ``chat_per_minute`` limit messages to a chat.

    ``batch_modes`` is used up first, one per batch, then ``batch_mode`` holds; a batch takes
    ``batch_delay``.
    """

    script: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    endpoints: list[str] = field(default_factory=list)
    retry_after: float = 1.0
    hang_seconds: float = 3600.0
    latency: float = 0.0
    latency_p50: float = 0.0
    latency_sigma: float = 0.3
    requests_per_minute: float = 0.0
    tokens_per_minute: float = 0.0
    limit_burst: float = 60.0
    chat_per_second: int = 0
    chat_per_minute: int = 0
    batch_mode: str = "ok"
    batch_modes: list[str] = field(default_factory=list)
    batch_delay: float = 0.2

    def __post_init__(self) -> None:
        _known((*self.script, *self.rates), KINDS, "fault")
        _known((*self.batch_modes, self.batch_mode), BATCH_MODES, "batch mode")
        if sum(self.rates.values()) > 1:
            raise ValueError("the rates add up to more than 1")
        self._random = random.Random(self.seed)
        self._latencies = random.Random(self.seed + 1)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> FaultPlan:
        """The plan of a request body. Raises ValueError for what is no plan."""
        try:
            return cls(**body)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def next(self, endpoint: str) -> str:
        """What happens to this call."""
        if endpoint not in self.endpoints if self.endpoints else endpoint == "batch_line":
            return "ok"
        if self.script:
            return self.script.pop(0)
        drawn = self._random.random()
        for kind, rate in self.rates.items():
            if drawn < rate:
                return kind
            drawn -= rate
        return "ok"

    def delay(self, fault: str) -> float:
        """Seconds before a call with this fault is answered."""
        if not self.latency_p50 or fault in _AT_THE_DOOR:
            return self.latency
        drawn = self._latencies.lognormvariate(math.log(self.latency_p50), self.latency_sigma)
        return self.latency + drawn

    def next_batch(self) -> str:
        """What becomes of the batch that is made now."""
        return self.batch_modes.pop(0) if self.batch_modes else self.batch_mode


def _known(given: tuple[str, ...], known: frozenset[str], what: str) -> None:
    unknown = [kind for kind in given if kind not in known]
    if unknown:
        raise ValueError(f"unknown {what} {unknown[0]!r}, known are {sorted(known)}")


@dataclass
class Account:
    """What one key did: counters and fault plan."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    calls: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    open_calls: int = 0
    most_open_calls: int = 0

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

    def counters(self) -> dict[str, Any]:
        """``calls`` counts every request, ``answered`` only those without a fault."""
        return {
            "calls": dict(self.calls),
            "answered": dict(self.answered),
            "faults": dict(self.faults),
            "open_calls": self.open_calls,
            "most_open_calls": self.most_open_calls,
        }

    def clear(self) -> None:
        """Count from zero; the plan and the calls that are open stay."""
        for counter in (self.calls, self.answered, self.faults):
            counter.clear()
        self.most_open_calls = self.open_calls
