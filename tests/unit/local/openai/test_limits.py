"""Limits of the stand-in: what passes in a minute, what is told, and when to come again."""

from __future__ import annotations

import pytest

from local.fault_plan import FaultPlan
from local.openai.errors import RefusedError
from local.openai.limits import Limits, spelled


def passed(limits: Limits, times: list[float], tokens: float = 1) -> int:
    count = 0
    for now in times:
        try:
            limits.take(tokens, now)
        except RefusedError:
            continue
        count += 1
    return count


def test_without_limits_all_pass_and_nothing_is_told() -> None:
    limits = Limits(FaultPlan())
    assert passed(limits, [0.0] * 1000) == 1000
    assert limits.headers() == {}


def test_requests_a_minute_with_a_burst_of_a_second() -> None:
    limits = Limits(FaultPlan(requests_per_minute=600, limit_burst=1))
    # 10 at once, then 10 a second: asked 100 times a second for 10 s.
    assert passed(limits, [n / 100 for n in range(1000)]) == pytest.approx(10 + 100, abs=1)


def test_tokens_a_minute_count_what_a_call_brings() -> None:
    limits = Limits(FaultPlan(tokens_per_minute=60_000, limit_burst=1))
    assert passed(limits, [n / 100 for n in range(1000)], tokens=100) == pytest.approx(110, abs=1)


def test_a_refused_call_takes_nothing() -> None:
    limits = Limits(FaultPlan(requests_per_minute=60, tokens_per_minute=100))
    assert passed(limits, [0.0] * 50, tokens=60) == 1
    assert limits.headers()["x-ratelimit-remaining-requests"] == "59"
    assert limits.headers()["x-ratelimit-remaining-tokens"] == "40"


def test_the_refusal_says_when_to_come_again() -> None:
    limits = Limits(FaultPlan(requests_per_minute=30, limit_burst=1, retry_after=0))
    limits.take(1, 0.0)
    with pytest.raises(RefusedError) as refused:
        limits.take(1, 0.5)
    assert refused.value.status == 429
    assert refused.value.code == "rate_limit_exceeded"
    assert (refused.value.headers or {})["Retry-After"] == "1.5"
    limits.take(1, 2.0)


def test_retry_after_of_the_plan_is_the_least() -> None:
    limits = Limits(FaultPlan(requests_per_minute=60, limit_burst=1, retry_after=90))
    limits.take(1, 0.0)
    with pytest.raises(RefusedError) as refused:
        limits.take(1, 0.5)
    assert (refused.value.headers or {})["Retry-After"] == "90"


def test_more_than_a_limit_ever_allows_has_no_time() -> None:
    limits = Limits(FaultPlan(tokens_per_minute=100))
    with pytest.raises(RefusedError, match="too large") as refused:
        limits.take(101, 0.0)
    assert refused.value.headers is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0ms"), (0.12, "120ms"), (1.5, "1.5s"), (360, "6m0s"), (61.25, "1m1.25s")],
)
def test_times_are_spelled_as_openai_spells_them(seconds: float, text: str) -> None:
    assert spelled(seconds) == text
