"""A sink that is away: the others go on, one batch probes, and what waited catches up."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from landing.arrival import companions, ledger, outages
from landing.arrival.requests import Request
from tests.integration.landing.tick_world import TickWorld

pytestmark = pytest.mark.servers("postgres")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(connection: psycopg.Connection[Any]) -> TickWorld:
    return TickWorld(connection)


def landed(world: TickWorld, name: str) -> Request:
    world.put(name)
    requests = world.tick(after=1).requests
    (request,) = [one for one in requests if world.keys(one.batch_id) == [name]]
    return request


def away(world: TickWorld) -> list[str]:
    """Two runs in a row fail at the second sink; their batches."""
    failed = []
    for name in ("a", "b"):
        request = landed(world, name)
        world.run(request.batch_id, f"r {name}", "first")
        world.fail_sink(request.batch_id, f"r {name}", "second")
        failed.append(request.batch_id)
    return failed


def test_two_runs_in_a_row_and_no_success_between_make_a_sink_away(world: TickWorld) -> None:
    one = landed(world, "a")
    world.run(one.batch_id, "r1", "first")
    world.fail_sink(one.batch_id, "r1", "second")
    two = landed(world, "b")
    world.run(two.batch_id, "r2", "first", "second")
    three = landed(world, "c")
    world.run(three.batch_id, "r3", "first")
    world.fail_sink(three.batch_id, "r3", "second")
    assert outages.away_sinks(world.connection, world.source.name) == []
    four = landed(world, "d")
    world.run(four.batch_id, "r4", "first")
    world.fail_sink(four.batch_id, "r4", "second")
    assert outages.away_sinks(world.connection, world.source.name) == ["second"]


def test_what_lacks_nothing_else_waits_with_the_sink_s_name(world: TickWorld) -> None:
    batches = away(world)
    assert world.tick().requests == ()
    for batch_id in batches:
        batch = world.batch(batch_id)
        assert (batch.state, batch.attempt) == ("waiting", 1)
        assert batch.error is not None
        assert batch.error.startswith("waits for second, which is away since 2026-11-22 10:15 UTC")
        assert batch.error.endswith(": refused")


def test_others_are_asked_for_without_it_and_end_without_failure(world: TickWorld) -> None:
    away(world)
    request = landed(world, "c")
    assert (request.sinks, request.validate) == (("first",), True)
    assert not request.whole
    assert not request.complete
    world.run(request.batch_id, "r c", "first")
    assert world.state(request.batch_id) == "running"
    world.succeed(request, "r c")
    tick = world.tick()
    batch = world.batch(request.batch_id)
    assert (batch.state, batch.begun, batch.deaths) == ("waiting", 1, 0)
    assert tick.lost == ()
    assert tick.backlog.elsewhere == 3


def test_a_run_that_ended_and_lacks_more_is_given_up_all_the_same(world: TickWorld) -> None:
    away(world)
    request = landed(world, "c")
    world.run(request.batch_id, "r c")
    world.succeed(request, "r c")
    assert world.tick().lost == ()
    assert world.tick(after=31).lost == (request.batch_id,)


def test_one_probe_for_each_backoff_step(world: TickWorld) -> None:
    oldest, _ = away(world)
    probed: list[datetime] = []
    start = world.now
    for turn in range(4 * 60):
        for request in world.tick(after=60).requests:
            assert (request.batch_id, request.sinks) == (oldest, ("second",))
            probed.append(world.now)
            world.run(oldest, f"probe {turn}")
            world.fail_sink(oldest, f"probe {turn}", "second")
    minutes = [round((at - start) / MINUTE) for at in probed]
    assert minutes == [1, 6, 21, 81, 141, 201]


def test_a_probe_that_succeeds_lets_all_go_on(world: TickWorld) -> None:
    oldest, other = away(world)
    (probe,) = world.tick(after=61).requests
    assert probe.batch_id == oldest
    world.run(oldest, "probe", "second")
    assert world.state(oldest) == "loaded"
    assert outages.away_sinks(world.connection, world.source.name) == []
    (request,) = world.tick().requests
    assert (request.batch_id, request.sinks) == (other, ("second",))


def test_an_outage_for_which_nothing_waits_ends(world: TickWorld) -> None:
    for batch_id in away(world):
        world.tick()
        ledger.reopen(world.connection, batch_id)
        world.execute("UPDATE landing.batch_sink SET state = 'done'")
        world.execute("UPDATE landing.batch SET state = 'loaded', away = false")
    world.tick(after=61)
    assert outages.away_sinks(world.connection, world.source.name) == []


def test_a_sink_away_for_hours_starves_nobody(world: TickWorld) -> None:
    """A batch a minute, one run at a time, of 45 s when it fails.

    Two hours of the eight that it was seen in: every step of the backoff, and all that starved.
    """
    start, back = world.now, world.now + timedelta(hours=2)
    landed_at: dict[str, datetime] = {}
    first_at: dict[str, datetime] = {}
    working: tuple[Request, str, datetime] | None = None
    runs = away_runs = 0
    caught_up: list[int] = []
    minute = -1
    while True:
        if working and world.now >= working[2]:
            request, run_id, _ = working
            working = None
            done = [sink for sink in request.sinks if sink != "second" or world.now >= back]
            validated = world.batch(request.batch_id).validated_at is not None
            world.run(request.batch_id, run_id, *done, validated=request.validate or validated)
            if "first" in done:
                first_at[request.batch_id] = world.now
            if len(done) < len(request.sinks):
                away_runs += 1
                world.fail_sink(request.batch_id, run_id, "second")
            else:
                if not request.validate:
                    caught_up.append(len(world.catch_up(request.batch_id, run_id, "second").taken))
                world.succeed(request, run_id)
        if world.now < back and (world.now - start) // MINUTE > minute:
            minute = (world.now - start) // MINUTE
            world.put(f"{minute:04}")
        tick = world.tick()
        for batch_id in tick.created:
            landed_at[batch_id] = world.now
        for request in tick.requests:
            if working is None:
                runs += 1
                seconds = 45 if "second" in request.sinks and world.now < back else 15
                working = (request, f"r{runs}", world.now + timedelta(seconds=seconds))
        if world.now >= back and not working and not sum(
            (tick.backlog.waiting, tick.backlog.in_flight, tick.backlog.elsewhere,
             tick.backlog.failed, tick.backlog.unassigned)
        ):  # fmt: skip
            break
        assert world.now < back + timedelta(hours=1), "it has all soon after its return"
        world.bucket.clock.advance(15)
    assert len(landed_at) >= 119
    late = max(first_at[batch_id] - landed_at[batch_id] for batch_id in landed_at)
    assert late <= 3 * MINUTE, "every batch is in the other sink soon"
    assert away_runs <= 2 + 5, "two that find out, and a probe for each step"
    states = world.connection.execute("SELECT DISTINCT state FROM landing.batch").fetchall()
    assert states == [("loaded",)]
    assert sum(caught_up) >= len(landed_at) - len(caught_up) - 10
    assert len(caught_up) <= len(landed_at) / companions.MOST_BATCHES + 2, "few runs, and large"
    assert runs <= len(landed_at) + away_runs + len(caught_up)
