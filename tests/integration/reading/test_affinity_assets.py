"""Counts and shares as Dagster's assets: a range as one run, what it shows, what it says wrong."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest
from google.api_core.exceptions import Forbidden

from assets.reading.affinity import computation as affinity
from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from local.reading_answer import lines
from resources.bigquery import run
from tests import processes
from tests.integration.reading.affinity_location import defs
from tests.integration.reading.affinity_world import LAST, READER, World, fill, world_of

pytestmark = pytest.mark.servers("postgres", "bigquery")

LOCATION = Path(__file__).with_name("affinity_location.py")
REPOSITORY = Path(__file__).resolve().parents[3]
FIRST = LAST - timedelta(days=41)
SHARES_OF_DATE = """
SELECT user_id, category_name, share FROM `{user_category_shares}` WHERE query_date = @day
"""


@pytest.fixture
def world(env: dict[str, str]) -> Iterator[World]:
    with world_of(env) as made:
        yield made


def stored(world: World, day: date) -> dict[int, dict[str, float]]:
    from google.cloud.bigquery import ScalarQueryParameter

    found: dict[int, dict[str, float]] = {}
    parameters = [ScalarQueryParameter("day", "DATE", day)]
    for row in run(world.warehouse.client, world.warehouse.sql(SHARES_OF_DATE), parameters):
        found.setdefault(row.user_id, {})[row.category_name] = row.share
    return found


def test_a_range_is_one_run_and_every_partition_shows_its_own_figures(world):
    fill(world)
    job = defs.resolve_job_def("reading_affinity")
    ends = {
        "dagster/asset_partition_range_start": str(FIRST),
        "dagster/asset_partition_range_end": str(LAST),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=ends)
        assert result.success
        assert {
            check.check_name: check.passed for check in result.get_asset_check_evaluations()
        } == {
            "counts_match_events": True,
            "shares_sum_to_one": True,
        }
        pairs = {
            event.partition: event.materialization.metadata["pairs"].value
            for event in result.get_asset_materialization_events()
            if event.asset_key == COUNTS_KEY
        }
        recount = {str(day): rows.total() for day, rows in world.counts().items()}
        every = [str(FIRST + timedelta(days=number)) for number in range(42)]
        assert pairs == {day: recount.get(day, 0) for day in every}
        newest = instance.get_latest_materialization_event(SHARES_KEY)
        assert newest is not None
        metadata = newest.asset_materialization.metadata
        assert metadata["partitions"].value == 42
        previews = {
            event.partition: event.materialization.metadata["preview"].value
            for event in result.get_asset_materialization_events()
            if event.asset_key == SHARES_KEY and "preview" in event.materialization.metadata
        }
    for day in every[-30:]:
        readers = Counter(
            name for shares in world.shares(date.fromisoformat(day)).values() for name in shares
        )
        assert (day in previews) == bool(readers)
        told = previews.get(day, "").strip().splitlines()[2:]
        assert len(told) == min(len(readers), 10)
        for line in told:
            name, _, users, _ = re.split(r" (?<!\\)\| ", line.strip("| "))
            name = re.sub(r"\\(.)", r"\1", name)
            assert int(users) == readers[name]
    assert stored(world, LAST).keys() == world.shares(LAST).keys()


def test_a_range_from_the_command_line_and_the_printed_answer(world, env):
    fill(world)
    command = [
        sys.executable, "-m", "dagster", "asset", "materialize", "-f", str(LOCATION),
        "--select", "key:reading/daily_category_counts,key:reading/user_category_shares",
        "--partition-range", f"{FIRST}...{LAST}",
    ]  # fmt: skip
    ended = processes.run(command)
    assert ended.returncode == 0, ended.stderr[-4000:]
    assert ended.stderr.count("RUN_SUCCESS") == 1
    expected = world.shares(LAST)
    for user, shares in stored(world, LAST).items():
        assert shares == pytest.approx(expected.pop(user), abs=1e-12)
    assert not expected
    printed = lines(env, READER, LAST)
    best = max(world.shares(LAST)[READER].values())
    assert str(READER) in printed[0]
    assert "2022-03-09" in printed[0]
    assert f"{best:.1%}" in printed[1]
    assert len(printed) == 1 + len(world.shares(LAST)[READER])
    assert lines(env, READER, FIRST - timedelta(days=1))[1:] == ["  nothing read beyond 90 percent"]


def test_what_no_attempt_can_mend_is_not_tried_again(world, env, monkeypatch):
    def refuse(*_: object) -> None:
        raise Forbidden("bigquery.tables.getData is missing")

    monkeypatch.setattr(affinity, "replace_counts", refuse)
    job = defs.resolve_job_def("reading_affinity")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(
            instance=instance, partition_key=str(LAST), raise_on_error=False
        )
        assert not result.success
        (failed,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
        assert not any(e.event_type_value == "STEP_UP_FOR_RETRY" for e in result.all_events)
    assert "getData is missing" in str(failed.step_failure_data.user_failure_data.description)
