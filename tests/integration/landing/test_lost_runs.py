"""Runs that died, never began or were cancelled: what a tick makes of their batches."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from landing.arrival import ledger
from landing.arrival.requests import Request
from landing.arrival.tick import Ended
from landing.batch.holding import BatchHeldElsewhere
from landing.batch.locks import hold_locks, run_lock_held
from tests.integration.landing.test_locks import wait_until
from tests.integration.landing.tick_world import TickWorld
from tests.unit.landing.arrival_machine import ModelRun, ModelRuns

pytestmark = pytest.mark.servers("postgres")

MINUTE = timedelta(minutes=1)


@pytest.fixture
def world(connection: psycopg.Connection[Any]) -> TickWorld:
    return TickWorld(connection)


def first(world: TickWorld, *names: str) -> str:
    world.put(*(names or ("a",)))
    (request,) = world.tick().requests
    return request.batch_id


def ended(world: TickWorld, request: Request, status: str, *, began: bool = False) -> None:
    world.runs.runs.append(ModelRun(request, status=status, began=began))


class Believing(ModelRuns):
    """A Dagster that takes every run for alive, and cannot be told otherwise."""

    def give_up(self, run_id: str) -> Ended:
        raise ConnectionError("Dagster's storage is away")


def test_a_run_is_judged_by_its_lock_whatever_dagster_says(
    world: TickWorld, ledger_url: str
) -> None:
    batch_id, run_id = first(world), str(uuid.uuid4())
    world.run(batch_id, run_id)
    world.runs = Believing()
    with hold_locks(ledger_url, run_id):
        world.tick(after=3600)
        assert world.tick(after=3600).lost == ()
    # The server frees the locks of a closed connection when it notices.
    wait_until(lambda: not run_lock_held(world.connection, run_id))
    tick = world.die(batch_id)
    assert tick.lost == (batch_id,)
    assert "cannot be reported failed: Dagster's storage is away" in tick.warnings[0]
    assert [request.run_key for request in tick.requests] == [f"{batch_id}/2"]


def test_what_never_began_costs_no_attempt(world: TickWorld) -> None:
    batch_id = first(world)
    for attempt in range(1, 6):
        request = world.tick().requests[0]
        assert request.attempt == attempt
        ended(world, request, "ended")
        assert world.tick().lost == (batch_id,)
        batch = world.batch(batch_id)
        assert (batch.begun, batch.deaths) == (0, 0)
        assert batch.next_attempt_at == world.now + MINUTE
        world.tick(after=60)
    world.run(batch_id, "r")
    world.fail(batch_id, "r", "transient")
    assert world.batch(batch_id).next_attempt_at == world.now + MINUTE, "as after a first failure"


def test_a_run_that_was_given_up_while_it_started_begins_for_nothing(world: TickWorld) -> None:
    """StartRun outlasts every limit, the daemon says so, and then the process is there."""
    batch_id = first(world)
    request = world.tick().requests[0]
    ended(world, request, "ended")
    assert world.tick().lost == (batch_id,)
    (again,) = world.tick(after=60).requests
    assert (again.attempt, world.batch(batch_id).begun) == (request.attempt + 1, 0)
    with pytest.raises(BatchHeldElsewhere, match=f"was asked for as {request.run_key}"):
        ledger.mark_running(world.connection, batch_id, "late", world.now, key=request.run_key)
    assert world.batch(batch_id).begun == 0, "no attempt is used up by it"
    batch = ledger.mark_running(world.connection, batch_id, "r", world.now, key=again.run_key)
    assert (batch.begun, batch.state) == (1, "running")
    world.fail(batch_id, "r", "transient")
    assert world.batch(batch_id).next_attempt_at == world.now + MINUTE, "as after a first failure"


def test_what_came_to_its_process_and_not_to_its_first_step_is_an_attempt(
    world: TickWorld,
) -> None:
    batch_id = first(world)
    for minutes in (1, 5, 15):
        request = world.tick().requests[0]
        ended(world, request, "ended", began=True)
        world.tick()
        assert world.batch(batch_id).next_attempt_at == world.now + minutes * MINUTE
        world.tick(after=minutes * 60)


def test_a_cancelled_start_stays_cancelled_until_somebody_asks(world: TickWorld) -> None:
    batch_id = first(world)
    ended(world, world.tick().requests[0], "cancelled")
    assert world.tick().lost == (batch_id,)
    batch = world.batch(batch_id)
    assert batch.state == "failed_permanent"
    assert batch.error == (
        f"The run was cancelled; `make replay BATCH={batch_id}` requests it again."
    )
    assert world.tick(after=86_400).requests == ()
    assert ledger.reopen(world.connection, batch_id)
    assert [request.attempt for request in world.tick().requests] == [2]


def test_a_batch_whose_process_dies_twice_is_halved_down_to_the_object(world: TickWorld) -> None:
    names = [f"{number:02}" for number in range(8)]
    batch_id = first(world, *names)
    deadly, deaths, loaded = "05", 0, set()
    for turn in range(60):
        for request in world.tick().requests:
            keys = world.keys(request.batch_id)
            run_id = f"r{turn}"
            aside = world.connection.execute(
                "SELECT count(*) FROM landing.object_version WHERE batch_id = %s"
                " AND outcome = 'rejected'",
                (request.batch_id,),
            ).fetchone()
            if deadly in keys and aside == (0,):
                world.run(request.batch_id, run_id, validated=False)
                world.die(request.batch_id)
                deaths += 1
            else:
                world.run(request.batch_id, run_id, "first", "second")
                loaded |= set(keys)
        world.bucket.clock.advance(31)
        if loaded == set(names):
            break
    # Twice the whole, then once each half, and twice more alone.
    assert deaths == 2 + 2 + 2
    rows = world.connection.execute(
        "SELECT v.key, v.reason, b.state FROM landing.object_version v"
        " JOIN landing.batch b USING (batch_id) WHERE v.outcome = 'rejected'"
    ).fetchall()
    assert rows == [
        ("in/05.csv", "kills_process: 3 processes in a row died of it", "loaded_with_rejects")
    ]
    states = world.connection.execute("SELECT DISTINCT state FROM landing.batch").fetchall()
    assert {state for (state,) in states} == {"loaded", "loaded_with_rejects"}
    assert world.batch(batch_id).objects == len(world.keys(batch_id)) == 4


def test_one_death_or_a_word_in_between_halves_nothing(world: TickWorld) -> None:
    batch_id = first(world, "a", "b")
    world.run(batch_id, "r1", validated=False)
    assert [request.attempt for request in world.die(batch_id).requests] == [2], "at once"
    world.run(batch_id, "r2", validated=False)
    world.fail(batch_id, "r2", "transient")
    world.tick(after=3600)
    world.run(batch_id, "r3", validated=False)
    world.die(batch_id)
    assert world.keys(batch_id) == ["a", "b"]
    assert world.batch(batch_id).deaths == 1


def test_a_process_that_dies_of_a_sink_waits_for_an_operator_with_its_name(
    world: TickWorld,
) -> None:
    batch_id = first(world, "a", "b")
    for death in range(1, 6):
        run_id = f"r{death}"
        world.run(batch_id, run_id, "first")
        world.execute("UPDATE landing.batch_sink SET run_id = %s WHERE sink = 'second'", run_id)
        assert world.batch(batch_id).state == "running"
        world.die(batch_id)
        assert world.batch(batch_id).deaths == death
        world.tick(after=3600)
    assert world.keys(batch_id) == ["a", "b"], "what is staged cannot be split by object"
    batch = world.batch(batch_id)
    assert batch.state == "failed_permanent"
    assert batch.error is not None
    assert "5 in a row, the last one while it wrote second" in batch.error
    assert f"make replay BATCH={batch_id}" in batch.error
