"""Which partitions of counts and shares the automation asks for, on a real instance.

The clock is the real one: whether an event or a request came first is told by its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.definitions.asset_daemon_cursor import AssetDaemonCursor

from assets.reading.affinity.assets import (
    COUNTS_KEY,
    META_KEY,
    SHARES_KEY,
    daily_category_counts,
    user_category_shares,
)
from assets.reading.affinity.job import reading_affinity_automation
from assets.reading.pipeline import DAYS, USER_INTERACTION_KEY

OLD = date(2022, 3, 5)
NOTHING = (set(), set())


def days_from(first: date, count: int) -> set[str]:
    return {str(first + timedelta(days=number)) for number in range(count)}


class Looker:
    """The sensor look by look, and what the daemon makes of it.

    ``broken`` partitions fail, ``during`` is called inside a run.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.broken: set[str] = set()
        self.during: Callable[[], None] | None = None
        self.assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
            dg.AssetSpec(USER_INTERACTION_KEY, partitions_def=DAYS),
            dg.AssetSpec(META_KEY),
            self._stub(COUNTS_KEY, daily_category_counts),
            self._stub(SHARES_KEY, user_category_shares),
        ]
        self.defs = dg.Definitions(assets=self.assets)
        self.cursor: AssetDaemonCursor | None = None

    def _stub(self, key: dg.AssetKey, real: dg.AssetsDefinition) -> dg.AssetsDefinition:
        """The real asset's dependencies, partitions and condition, with nothing to compute."""

        @dg.multi_asset(
            specs=[real.get_asset_spec(key)],
            name=key.path[-1],
            backfill_policy=real.backfill_policy,
        )
        def stub(context):
            if self.during:
                self.during()
            if self.broken & set(context.partition_keys):
                raise RuntimeError("broken")
            return dg.MaterializeResult(asset_key=key)

        return stub

    def tell(self, *days: str | date) -> None:
        """What the session does with changed days."""
        for day in days:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(USER_INTERACTION_KEY, partition=str(day))
            )

    def look(self, after: timedelta = timedelta()) -> tuple[set[str], set[str]]:
        """The days of counts and the dates of shares that are asked for."""
        result = dg.evaluate_automation_conditions(
            self.defs,
            self.instance,
            asset_selection=reading_affinity_automation.asset_selection,
            evaluation_time=datetime.now(UTC) + after,
            cursor=self.cursor,
        )
        self.cursor = result.cursor
        keys = (COUNTS_KEY, SHARES_KEY)
        counts, shares = ({*map(str, result.get_requested_partitions(key))} for key in keys)
        return counts, shares

    def carry_out(self, key: dg.AssetKey, days: set[str]) -> bool:
        """One run over a range of partitions, as a backfill makes it; whether it succeeded."""
        tags = {
            "dagster/asset_partition_range_start": min(days),
            "dagster/asset_partition_range_end": max(days),
        }
        return dg.materialize(
            self.assets,
            selection=[key],
            instance=self.instance,
            tags=tags,
            raise_on_error=False,
        ).success


@pytest.fixture
def looker() -> Iterator[Looker]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Looker(instance)


@pytest.mark.parametrize("day", [OLD, date(2000, 1, 3)], ids=["old", "first"])
def test_a_changed_day_asks_for_its_counts_then_for_the_dates_that_see_it(looker, day):
    assert looker.look() == NOTHING
    looker.tell(day)
    assert looker.look() == ({str(day)}, set())
    assert looker.look() == NOTHING
    assert looker.carry_out(COUNTS_KEY, {str(day)})
    assert looker.look() == (set(), days_from(day, 15))
    assert looker.carry_out(SHARES_KEY, days_from(day, 15))
    assert looker.look() == NOTHING
    assert looker.look() == NOTHING


def test_dates_that_have_not_begun_are_not_asked_for_until_they_begin(looker):
    today = datetime.now(UTC).date()
    looker.look()
    looker.tell(today)
    assert looker.look() == ({str(today)}, set())
    looker.carry_out(COUNTS_KEY, {str(today)})
    assert looker.look() == (set(), {str(today)})
    looker.carry_out(SHARES_KEY, {str(today)})
    assert looker.look() == NOTHING
    tomorrow = timedelta(days=1)
    assert looker.look(tomorrow) == (set(), {str(today + tomorrow)})
    assert looker.look(tomorrow) == NOTHING


def test_what_was_there_before_the_first_look_is_asked_for(looker):
    looker.tell(OLD)
    assert looker.look() == ({str(OLD)}, set())
    assert looker.look() == NOTHING


def test_categories_in_general_ask_for_nothing(looker):
    looker.tell(OLD)
    looker.look()
    looker.carry_out(COUNTS_KEY, {str(OLD)})
    looker.look()
    looker.instance.report_runless_asset_event(dg.AssetMaterialization(META_KEY))
    assert looker.look() == NOTHING


def test_a_day_that_changes_while_it_is_counted_is_counted_again_afterwards(looker):
    looks = []

    def change() -> None:
        looker.tell(OLD)
        looks.append(looker.look())

    looker.look()
    looker.tell(OLD)
    assert looker.look() == ({str(OLD)}, set())
    looker.during = change
    looker.carry_out(COUNTS_KEY, {str(OLD)})
    looker.during = None
    assert looks == [NOTHING], "a day must not be asked for while it is counted"
    assert looker.look() == ({str(OLD)}, days_from(OLD, 15))


def test_a_change_between_request_and_end_of_run_is_not_taken_for_handled(looker):
    looker.look()
    looker.tell(OLD)
    looker.look()
    looker.tell(OLD)  # after the request, before the run ends, both before the next look
    looker.carry_out(COUNTS_KEY, {str(OLD)})
    counts, _ = looker.look()
    assert counts == {str(OLD)}


def test_shares_wait_while_a_day_that_they_see_is_counted(looker):
    looker.look()
    looker.tell(OLD)
    looker.look()
    looker.carry_out(COUNTS_KEY, {str(OLD)})
    looks = []
    looker.during = lambda: looks.append(looker.look())
    looker.carry_out(COUNTS_KEY, {str(OLD + timedelta(days=3))})
    looker.during = None
    seen = days_from(OLD, 15) - days_from(OLD + timedelta(days=3), 15)
    assert looks == [(set(), seen)]
    assert looker.look() == (set(), days_from(OLD, 18) - seen)


def test_partitions_of_a_failed_run_are_asked_for_again_after_a_while(looker):
    looker.look()
    looker.tell(OLD, OLD + timedelta(days=1))
    wanted = days_from(OLD, 2)
    assert looker.look() == (wanted, set())
    looker.broken.add(str(OLD))
    assert not looker.carry_out(COUNTS_KEY, wanted)
    assert looker.look() == NOTHING
    assert looker.look(timedelta(minutes=10)) == (wanted, set())
    looker.broken.clear()
    assert looker.carry_out(COUNTS_KEY, wanted)
    assert looker.look(timedelta(minutes=20))[0] == set()


def test_many_days_become_one_run_per_range(looker):
    """A load of 23 days and one late event a year before: four runs in all, not 75."""
    late = OLD - timedelta(days=365)
    sensor = Sensor(looker)
    assert sensor.tick() == []
    looker.tell(*sorted(days_from(OLD, 23)), late)
    counted = sensor.tick()
    assert counted == [
        (COUNTS_KEY, str(late), str(late)),
        (COUNTS_KEY, str(OLD), str(OLD + timedelta(days=22))),
    ]
    assert sensor.tick() == []
    for key, first, last in counted:
        looker.carry_out(key, {first, last})
    assert sensor.tick() == [
        (SHARES_KEY, str(late), str(late + timedelta(days=14))),
        (SHARES_KEY, str(OLD), str(OLD + timedelta(days=36))),
    ]
    assert sensor.tick() == []


def test_one_day_is_one_run(looker):
    sensor = Sensor(looker)
    sensor.tick()
    looker.tell(OLD)
    assert sensor.tick() == [(COUNTS_KEY, str(OLD), str(OLD))]


class Sensor:
    """The sensor's own ticks, as the code server makes them."""

    def __init__(self, looker: Looker) -> None:
        self.looker = looker
        self.repository = looker.defs.get_repository_def()
        self.cursor: str | None = None

    def tick(self) -> list[tuple[dg.AssetKey, str, str]]:
        """Asset, first and last partition of the runs that it asks for."""
        context = dg.build_sensor_context(
            instance=self.looker.instance, cursor=self.cursor, repository_def=self.repository
        )
        told = reading_affinity_automation.evaluate_tick(context)
        self.cursor = told.cursor
        runs = []
        for request in told.run_requests or ():
            assert not request.requires_backfill_daemon()
            assert request.tags.items() >= reading_affinity_automation.run_tags.items()
            assert told.automation_condition_evaluations, "Dagster's UI shows why"
            (key,) = request.asset_selection or ()
            checks = {check.asset_key for check in request.asset_check_keys or ()}
            assert checks <= {key}
            tags = request.tags
            day = tags.get("dagster/partition")
            first = tags.get("dagster/asset_partition_range_start", day)
            last = tags.get("dagster/asset_partition_range_end", day)
            assert first
            assert last
            runs.append((key, first, last))
        return sorted(runs)
