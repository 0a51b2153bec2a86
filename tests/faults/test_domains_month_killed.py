"""A month's run killed once the Batch API has its prompts: the sensor publishes it all the same."""

from __future__ import annotations

import os
import signal

import dagster as dg
import pytest

from sensors import reaper
from tests.faults.killed_run import die_after
from tests.forks import exit_code_of
from tests.integration.domains.month_world import MONTH, MonthWorld
from tests.integration.domains.test_month import DOMAINS, categories, rows

pytestmark = pytest.mark.servers("postgres", "s3", "openai")


def run_until_killed(point: str) -> None:
    """As a person starts it in the UI: no batch of the ledger will ask for it again."""
    from assets.domains.asking import batch_ledger, batch_mode

    owner = {"intend": batch_ledger, "step": batch_mode}[point]
    die_after(owner, point)
    MonthWorld(os.environ).run()
    raise AssertionError(f"{point} was not reached")


@pytest.mark.parametrize("point", ["intend", "step"])
def test_a_killed_run_that_had_submitted_is_followed(env, openai_admin, monkeypatch, point):
    monkeypatch.setenv("DOMAINS_BATCH_FROM", "5")
    world = MonthWorld(env)
    world.fill(rows(), categories())
    code = exit_code_of(run_until_killed, point)
    assert code == -signal.SIGKILL
    with dg.DagsterInstance.get() as instance:
        (dead,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        # As the sensor does, whose grace the test does not wait for: it holds a slot of the pool.
        reaper.report_dead(instance, dead.run_id)
    (request,) = world.until_asked()
    assert request.partition_key == MONTH
    assert world.run(assets=request.asset_selection).success
    assert {row["domain"] for row in world.published()[1]} == DOMAINS
    assert world.awaited() == []
    counters = openai_admin.counters()
    assert (counters["batches"], counters["paid_calls"]) == (1, 0)
