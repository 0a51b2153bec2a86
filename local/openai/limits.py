"""Rate limits of one key: requests and tokens a minute.

Belongs here: the buckets, and the headers that tell of them. Does not: Telegram's own limits
(`local.openai.telegram`).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

from local.fault_plan import FaultPlan
from local.openai.errors import RefusedError


@dataclass
class Bucket:
    """``per_minute`` flow in, at most ``burst`` seconds' worth is held, and one unit at least."""

    per_minute: float
    burst: float
    _level: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._level = self.capacity

    @property
    def capacity(self) -> float:
        """The most that is held."""
        return max(1.0, self.per_minute * self.burst / 60)

    def missing(self, units: float, now: float) -> float:
        """Seconds until ``units`` may be taken; infinite where they never may."""
        if units > self.capacity:
            return math.inf
        if self._at is not None:
            flowed = (now - self._at) * self.per_minute / 60
            self._level = min(self.capacity, self._level + flowed)
        self._at = now
        return max(0.0, units - self._level) * 60 / self.per_minute

    def take(self, units: float) -> None:
        """Take what is there."""
        self._level -= units

    def headers(self, what: str) -> dict[str, str]:
        """What OpenAI tells with every answer; ``what`` is "requests" or "tokens"."""
        full = (self.capacity - self._level) * 60 / self.per_minute
        return {
            f"x-ratelimit-limit-{what}": f"{self.per_minute:.0f}",
            f"x-ratelimit-remaining-{what}": f"{max(0, math.floor(self._level))}",
            f"x-ratelimit-reset-{what}": spelled(full),
        }


class Limits:
    """What a plan limits for one key."""

    def __init__(self, plan: FaultPlan) -> None:
        self._retry_after = plan.retry_after
        limits = {"requests": plan.requests_per_minute, "tokens": plan.tokens_per_minute}
        self._buckets = {
            what: Bucket(limit, plan.limit_burst) for what, limit in limits.items() if limit
        }

    def take(self, tokens: float, now: float | None = None) -> None:
        """Let a call pass. Raises RefusedError (429), taking nothing, for one too many.

        ``now`` is the monotonic clock.
        """
        if not self._buckets:
            return
        at = time.monotonic() if now is None else now
        units = {"requests": 1.0, "tokens": tokens}
        for what, bucket in self._buckets.items():
            wait = bucket.missing(units[what], at)
            if wait:
                raise self._refusal(what, wait)
        for what, bucket in self._buckets.items():
            bucket.take(units[what])

    def headers(self) -> dict[str, str]:
        """Of every answer while there are limits."""
        return {
            name: value
            for what, bucket in self._buckets.items()
            for name, value in bucket.headers(what).items()
        }

    def _refusal(self, what: str, wait: float) -> RefusedError:
        if math.isinf(wait):
            message = f"Request too large: it holds more {what} than the limit allows at once."
            return RefusedError(429, what, message, code="rate_limit_exceeded")
        seconds = max(wait, self._retry_after)
        message = f"Rate limit reached on {what} per min. Please try again in {spelled(wait)}."
        headers = {
            **self.headers(),
            "Retry-After": f"{seconds:.3f}".rstrip("0").rstrip("."),
            "retry-after-ms": f"{seconds * 1000:.0f}",
        }
        return RefusedError(429, what, message, code="rate_limit_exceeded", headers=headers)


def spelled(seconds: float) -> str:
    """A time as OpenAI's headers write it: 120ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    left = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes:.0f}m{left}" if minutes else left
