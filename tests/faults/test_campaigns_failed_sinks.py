"""A sink that fails: the others are done, it alone is requested again, nothing is overwritten."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from assets.frame import retry_policy
from tests.faults.batch_runs import selected
from tests.faults.campaign_runs import SERVERS, SINKS, CampaignRuns
from tests.faults.end_state import assert_profiles_are_means, assert_same, end_state
from tests.faults.oracle import EndState, expected, rewritten, sample

pytestmark = pytest.mark.servers(*SERVERS)

#: Module whose ``write`` fails, its sink, an error as its client raises it, and what must be empty.
FAILING = {
    "raw_messages": ("assets.sinks.mongo", ("documents",)),
    "message_embeddings": ("assets.campaigns.message_embeddings", ("vectors",)),
    "user_profiles": ("assets.campaigns.profiles", ("profiles",)),
    "engagement_graph": (
        "assets.campaigns.graph",
        ("users", "campaigns", "events", "performed", "part_of", "participated_in", "targeted_by"),
    ),
    "engagement_analytics": ("assets.campaigns.analytics", ("rows",)),
}


def _fail(monkeypatch: pytest.MonkeyPatch, sink: str, error: Exception) -> list[str]:
    """Every write of the sink raises; the list grows with each try."""
    tries: list[str] = []

    def write(*_: Any, **__: Any) -> None:
        tries.append(sink)
        raise error

    monkeypatch.setattr(f"{FAILING[sink][0]}.write", write)
    return tries


def _without(state: EndState, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: [] if name in names else value for name, value in vars(state).items()}


@pytest.mark.parametrize("sink", sorted(FAILING))
def test_only_the_failed_sink_runs_again(
    runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch, sink: str
) -> None:
    rows = sample()
    with monkeypatch.context() as fault:
        # A connection error is retried by the step: not for real seconds here.
        fault.setattr(retry_policy.RETRY, "delay_calc", None, raising=False)
        fault.setattr("dagster._core.definitions.policy.calculate_delay", lambda **_: 0.0)
        tries = _fail(fault, sink, AutoReconnect("connection refused by the test"))
        runs.land("a.csv", rows)
        (request,) = runs.tick()
        batch_id = request.partition_key or ""
        assert not runs.run(request).success
    assert len(tries) == 3

    batch = runs.batch(batch_id)
    assert batch.state == "failed_transient"
    assert batch.next_attempt_at is not None
    assert sink in (batch.error or "")
    assert "connection refused by the test" in (batch.error or "")
    assert runs.done(batch_id) == SINKS - {sink}
    found = vars(end_state(runs.env))
    assert found == _without(expected(rows), FAILING[sink][1])
    assert runs.tick() == []  # not before its time

    runs.forward(61)
    (again,) = runs.tick()
    assert again.run_key == f"{batch_id}/2"
    assert (selected(again) or set()) & {*SINKS, "events"} == {sink}
    assert runs.run(again).success

    executed = {event.step_key for event in runs.results[batch_id].get_step_success_events()}
    writing = {f"campaigns__{name}" for name in (*SINKS, "events", "campaign_recommendations")}
    assert executed & writing == {f"campaigns__{sink}", "campaigns__campaign_recommendations"}
    assert runs.batch(batch_id).state == "loaded"
    assert_same(end_state(runs.env), expected(rows))
    assert_profiles_are_means(runs.env)
    assert runs.tick() == []


def test_permanent_failure_waits_for_the_operator(
    runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sample()
    with monkeypatch.context() as fault:
        tries = _fail(fault, "raw_messages", OperationFailure("Authentication failed.", 18))
        runs.land("a.csv", rows)
        (request,) = runs.tick()
        assert not runs.run(request).success
    batch_id = request.partition_key or ""
    assert len(tries) == 1  # wrong credentials are not tried again
    assert runs.batch(batch_id).state == "failed_permanent"
    runs.forward(7 * 24 * 3600)
    assert runs.tick() == []

    runs.reopen(batch_id)
    (again,) = runs.tick()
    assert runs.run(again).success
    assert_same(end_state(runs.env), expected(rows))


@pytest.mark.parametrize("sink", sorted(FAILING))
def test_older_batch_retried_late_overwrites_nothing(
    runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch, sink: str
) -> None:
    rows = sample()
    newer = rewritten(rows)[::2]  # the other half is still the older batch's to deliver
    with monkeypatch.context() as fault:
        _fail(fault, sink, OperationFailure("Authentication failed.", 18))
        runs.land("a.csv", rows)
        (request,) = runs.tick()
        older = request.partition_key or ""
        assert not runs.run(request).success

    runs.load("b.csv", newer)
    runs.reopen(older)
    (again,) = runs.tick()
    assert again.partition_key == older
    assert (selected(again) or set()) & {*SINKS, "events"} == {sink}
    assert runs.run(again).success

    assert_same(end_state(runs.env), expected(rows, newer))
    assert_profiles_are_means(runs.env)
