"""How asking gets on, and what it came to: figures for people.

Belongs here: counting, rates, the line of a log. Does not: the ledger's own sums (``ledger``).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

#: Seconds over which the rate is taken.
_WINDOW = 30.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look. ``rate`` is prompts a second, ``eta`` seconds, ``cost`` micro-dollars.

    ``done`` of ``total`` prompts of the month are answered or rejected, by whatever worker and
    run; the other figures are this worker's. ``retries`` counts failures by class.
    """

    done: int
    total: int
    rate: float
    eta: float | None
    requests: int
    in_flight: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    retries: Mapping[str, int]

    def line(self) -> str:
        """For a log."""
        eta = "?" if self.eta is None else f"{self.eta:.0f} s"
        failed = ", ".join(f"{kind} {count}" for kind, count in sorted(self.retries.items()))
        return (
            f"{self.done}/{self.total} answered, {self.rate:.1f}/s, {eta} left;"
            f" {self.requests} requests, {self.in_flight} in flight,"
            f" {self.prompt_tokens} + {self.completion_tokens} tokens,"
            f" ${self.cost / 1e6:.4f}; retries: {failed or 'none'}"
        )


@dataclass(slots=True)
class Tally:
    """What one worker has done so far."""

    total: int
    done_before: int
    requests: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: int = 0
    written_off: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasks: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)
    _looks: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def settled(self) -> int:
        """Prompts that this worker ended."""
        return sum(self.outcomes.values())

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started

    def look(self, done: int) -> Progress:
        """The figures now; ``done`` prompts of the month are."""
        now = time.monotonic()
        self._looks.append((now, done))
        while now - self._looks[0][0] > _WINDOW:
            self._looks.popleft()
        since, first = self._looks[0] if len(self._looks) > 1 else (self.started, self.done_before)
        rate = (done - first) / (now - since) if now > since else 0.0
        return Progress(
            done=done,
            total=self.total,
            rate=rate,
            eta=(self.total - done) / rate if rate > 0 else None,
            requests=self.requests,
            in_flight=self.in_flight,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost=self.cost,
            retries=dict(self.retries),
        )


@dataclass(frozen=True, slots=True)
class AskingReport:
    """What one call came to. Money in micro-dollars.

    ``unchanged`` prompts had an answer before, ``left`` have none yet; ``batched`` of these wait
    for the Batch API. ``outcomes`` counts prompts, ``reasks`` and ``retries`` requests.
    """

    prompts: int
    unchanged: int
    left: int
    batched: int
    exhausted: int
    recovered: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    cost: int
    written_off: int
    outcomes: Mapping[str, int]
    reasks: Mapping[str, int]
    retries: Mapping[str, int]
    seconds: float

    @property
    def answered(self) -> int:
        """Prompts that got a good answer now."""
        return self.outcomes.get("ok", 0)
