"""Killed with -9 anywhere: the ledger notices, the next attempt leaves every sink right."""

from __future__ import annotations

import signal

import pytest

from tests.faults.batch_runs import selected
from tests.faults.campaign_kills import POINTS
from tests.faults.campaign_runs import CAMPAIGNS, SERVERS, SINKS, CampaignRuns
from tests.faults.end_state import assert_profiles_are_means, assert_same, end_state
from tests.faults.killed_run import run_until_killed
from tests.faults.oracle import expected, rewritten, sample

pytestmark = pytest.mark.servers(*SERVERS)
KILLS = "tests.faults.campaign_kills"


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(runs: CampaignRuns, point: str) -> None:
    rows = sample()
    newer = rewritten(rows)
    runs.load("a.csv", rows)
    runs.land("a.csv", newer)
    (request,) = runs.tick()
    batch_id = request.partition_key or ""

    assert run_until_killed(runs.env, CAMPAIGNS, request, point, of=KILLS) == -signal.SIGKILL

    batch = runs.batch(batch_id)
    assert batch.state == "running"  # nobody told the ledger
    assert (batch.validated_at is None) == (point in {
        "validation: staged", "validation: before the commit",
    })  # fmt: skip
    done = runs.done(batch_id)
    killed = point.partition(":")[0]
    assert killed not in done
    if killed == "validation":
        assert not done
    if not point.endswith("written"):  # then the ledger alone may lack something
        assert end_state(runs.env) != expected(rows, newer)

    runs.forward(1)
    assert runs.tick() == []  # its lock is free: a run that has just died, or one that starts
    runs.forward(31)
    (again,) = runs.tick()  # given up, and requested again at once: the sinks are not to blame
    assert again.run_key == f"{batch_id}/2"
    if batch.validated_at is not None:
        assert (selected(again) or set()) & {*SINKS, "events"} == SINKS - done
    assert runs.run(again).success

    assert runs.batch(batch_id).state == "loaded"
    assert runs.done(batch_id) == SINKS
    assert_same(end_state(runs.env), expected(rows, newer))
    assert_profiles_are_means(runs.env)
    assert runs.counts(batch_id)["read"] == len(newer)
    assert runs.tick() == []
