"""Faults come by script first, then at their rate, the same for the same seed."""

from __future__ import annotations

import pytest

from local.fault_plan import Account, FaultPlan


def test_the_script_is_used_up_in_order() -> None:
    plan = FaultPlan(script=["429", "ok", "500"])
    assert [plan.next("chat") for _ in range(5)] == ["429", "ok", "500", "ok", "ok"]


def test_rates_are_kept_and_repeatable() -> None:
    draws = [FaultPlan(rates={"429": 0.2, "500": 0.1}, seed=7) for _ in range(2)]
    first, second = ([plan.next("chat") for _ in range(10_000)] for plan in draws)
    assert first == second
    assert 0.18 < first.count("429") / 10_000 < 0.22
    assert 0.085 < first.count("500") / 10_000 < 0.115
    assert first.count("ok") == 10_000 - first.count("429") - first.count("500")


def test_other_endpoints_neither_fail_nor_use_the_script_up() -> None:
    plan = FaultPlan(script=["500"], endpoints=["embeddings"])
    assert plan.next("chat") == "ok"
    assert plan.next("embeddings") == "500"


@pytest.mark.parametrize(
    "body", [{"script": ["418"]}, {"rates": {"500": 0.6, "429": 0.6}}, {"unknown": 1}]
)
def test_what_is_no_plan_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"unknown|rates|unexpected"):
        FaultPlan.parse(body)


def test_clearing_keeps_the_plan_and_what_is_open() -> None:
    account = Account(plan=FaultPlan(script=["500"]))
    with account.call("chat"):
        account.clear()
        assert account.counters()["calls"] == {}
    assert account.open_calls == 0
    assert account.plan.script == ["500"]


def test_faults_within_batches_are_asked_for_by_name() -> None:
    assert FaultPlan(script=["500"]).next("batch_line") == "ok"
    assert FaultPlan(script=["500"], endpoints=["batch_line"]).next("batch_line") == "500"


def test_latency_is_lognormal_and_what_is_refused_at_once_does_not_wait() -> None:
    plan = FaultPlan(latency_p50=1.0, latency_sigma=0.5, latency=0.25)
    drawn = sorted(plan.delay("ok") - 0.25 for _ in range(4001))
    assert drawn[2000] == pytest.approx(1.0, rel=0.05)
    # A lognormal's 84th percentile is the median times e to the sigma.
    assert drawn[3365] == pytest.approx(1.6487, rel=0.07)
    assert plan.delay("429") == 0.25


def test_batch_modes_are_used_up_before_the_standing_one() -> None:
    plan = FaultPlan(batch_modes=["mixed"], batch_mode="expired")
    assert [plan.next_batch() for _ in range(3)] == ["mixed", "expired", "expired"]
    with pytest.raises(ValueError, match="batch mode"):
        FaultPlan(batch_mode="lost")
