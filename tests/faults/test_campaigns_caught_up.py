"""A sink that was away for several batches catches up in the run of the first, killed or not."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest
from pymongo.errors import AutoReconnect

from assets.campaigns.pipeline import CAMPAIGNS as DECLARED
from assets.frame import retry_policy
from tests.faults.batch_runs import selected
from tests.faults.campaign_runs import CAMPAIGNS, SERVERS, CampaignRuns
from tests.faults.end_state import assert_profiles_are_means, assert_same, end_state
from tests.faults.killed_run import die_after, run_until_killed
from tests.faults.oracle import Row, expected, rewritten, sample

pytestmark = pytest.mark.servers(*SERVERS)


def _third_batch_written() -> None:
    """MongoDB has the second of those that were taken along; the ledger has not been told."""
    from assets.sinks import mongo

    die_after(mongo, "upsert", call=3)


POINTS: dict[str, Callable[[], None]] = {"third batch written": _third_batch_written}


def away(runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch, *files: list[Row]) -> list[str]:
    """MongoDB is away while these files land, one after another; their batches, which wait."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AutoReconnect("connection refused by the test")

    batches = []
    with monkeypatch.context() as fault:
        fault.setattr(retry_policy.RETRY, "delay_calc", None, raising=False)
        fault.setattr("dagster._core.definitions.policy.calculate_delay", lambda **_: 0.0)
        fault.setattr("assets.sinks.mongo.upsert", refuse)
        # However long these runs take, none of them is due again meanwhile.
        began = runs.now()
        fault.setattr(runs, "now", lambda: began)
        for number, rows in enumerate(files):
            runs.land(f"{number}.csv", rows)
            (request,) = runs.tick()
            batches.append(request.partition_key or "")
            assert runs.run(request).success == (number > 1), "two find out that it is away"
        assert runs.tick() == []
    assert {runs.batch(batch_id).state for batch_id in batches} == {"waiting"}
    return batches


def materialized(runs: CampaignRuns, name: str) -> set[str]:
    """The batches that Dagster shows as materialized in this asset."""
    return runs.instance.get_materialized_partitions(DECLARED.key(name))


def known_before_each_write(runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What Dagster shows as written to MongoDB when each write begins, once there were some."""
    from assets.sinks import mongo

    known, upsert = [], mongo.upsert

    def looked_at(*given: Any, **more: Any) -> Any:
        known.append(materialized(runs, "raw_messages"))
        return upsert(*given, **more)

    monkeypatch.setattr(mongo, "upsert", looked_at)
    return known


def files() -> list[list[Row]]:
    rows = sample()
    newer = rewritten(rows)
    return [rows, newer[::2], newer[1::2], rows[:10], newer[5:25]]


def test_one_run_brings_all_that_waited(
    runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = away(runs, monkeypatch, *files())
    first, *others = batches
    runs.forward(61)
    (probe,) = runs.tick()
    assert probe.partition_key == first
    assert "raw_messages" in (selected(probe) or set())
    known = known_before_each_write(runs, monkeypatch)
    result = runs.run(probe)
    assert result.success
    assert known == [set(batches[:count]) for count in range(len(batches))], "also if it is killed"
    for batch_id in others:
        assert runs.batch(batch_id).state == "loaded"
        assert runs.batch(batch_id).run_id == result.run_id
    assert_same(end_state(runs.env), expected(*files()))
    assert_profiles_are_means(runs.env)
    for name in ("raw_messages", "campaign_recommendations"):
        assert materialized(runs, name) == set(batches), name
    made = {
        event.partition: event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
        and event.asset_key.path[-1] == "raw_messages"
    }  # fmt: skip
    assert made.keys() == {first, *others}
    (told,) = [
        event.event_specific_data.asset_observation
        for event in result.all_events
        if event.event_type == dg.DagsterEventType.ASSET_OBSERVATION
    ]
    assert told.partition == first
    assert told.metadata["batches_caught_up"].value == len(others)
    assert runs.tick() == []


def test_killed_in_the_middle_what_is_left_catches_up_after_it(
    runs: CampaignRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = away(runs, monkeypatch, *files())
    runs.forward(61)
    (probe,) = runs.tick()
    killed = run_until_killed(runs.env, CAMPAIGNS, probe, "third batch written", of=__name__)
    assert killed == -signal.SIGKILL
    states = [runs.batch(batch_id).state for batch_id in batches]
    assert states == ["loaded", "loaded", "running", "waiting", "waiting"]
    for _ in range(10):
        runs.forward(31)
        for request in runs.tick():
            assert runs.run(request).success
    assert {runs.batch(batch_id).state for batch_id in batches} == {"loaded"}
    assert_same(end_state(runs.env), expected(*files()))
    assert_profiles_are_means(runs.env)
