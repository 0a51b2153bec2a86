"""Deploys that rename, drop and add sinks while batches are on their way."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from landing.arrival import declared_sinks, ledger
from landing.arrival.states import ErrorClass
from tests.integration.landing.tick_world import TickWorld

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def world(connection: psycopg.Connection[Any]) -> TickWorld:
    return TickWorld(connection)


def test_a_dropped_sink_is_retired_and_the_others_go_on(world: TickWorld) -> None:
    world.put("a")
    (request,) = world.tick().requests
    batch_id = request.batch_id
    world.run(batch_id, "r1", "first")
    world.fail(batch_id, "r1", "transient")
    world.put("b")
    (b,) = world.tick(after=31).requests
    world.deploy("first", "third")
    tick = world.tick(after=61)
    assert world.sinks(batch_id) == {"first": "done", "second": "retired", "third": "pending"}
    (note,) = [
        sink.error
        for sink in ledger.sinks(world.connection, [batch_id])[batch_id]
        if sink.sink == "second"
    ]
    assert note is not None
    assert "declares no such sink any more" in note
    assert "sinks retired: second; sinks added: third" in tick.message
    assert [one.sinks for one in tick.requests] == [("first", "third")], "b, asked for again"
    assert tick.requests[0].batch_id == b.batch_id
    world.run(b.batch_id, "r2", "first", "third")
    assert world.state(b.batch_id) == "loaded"
    (again,) = world.tick().requests
    assert (again.batch_id, again.sinks, again.whole) == (batch_id, ("third",), False)
    world.run(batch_id, "r3", "third")
    assert world.state(batch_id) == "loaded"


@pytest.mark.parametrize("error_class", ["transient", "permanent"])
def test_a_batch_that_lacks_nothing_but_a_dropped_sink_is_loaded(
    world: TickWorld, error_class: ErrorClass
) -> None:
    world.put("a")
    (request,) = world.tick().requests
    world.run(request.batch_id, "r1", "first")
    world.fail(request.batch_id, "r1", error_class)
    world.deploy("first")
    tick = world.tick(after=1)
    assert world.state(request.batch_id) == "loaded"
    assert tick.requests == ()
    assert (tick.backlog.failed, tick.backlog.stopped) == (0, 0)


def test_a_sink_that_comes_back_counts_again(world: TickWorld) -> None:
    world.put("a")
    (request,) = world.tick().requests
    world.deploy("first")
    assert world.tick().requests[0].sinks == ("first",)
    world.deploy("first", "second")
    assert world.tick().requests[0].sinks == ("first", "second")
    assert world.sinks(request.batch_id) == {"first": "pending", "second": "pending"}


def test_a_batch_of_older_code_is_not_closed_before_the_new_sink_has_it(world: TickWorld) -> None:
    world.put("a")
    (request,) = world.tick().requests
    world.deploy("first", "second", "third")
    assert world.tick().requests[0].sinks == ("first", "second", "third")
    world.run(request.batch_id, "r1", "first", "second")
    assert world.state(request.batch_id) == "running"
    world.run(request.batch_id, "r1", "third")
    assert world.state(request.batch_id) == "loaded"


def test_an_old_run_that_ends_after_the_deploy_brings_no_old_sink_back(world: TickWorld) -> None:
    world.put("a")
    (request,) = world.tick().requests
    world.run(request.batch_id, "r1")
    world.deploy("first", "third")
    world.tick()
    # Its validation is committed only now, with the sinks that it knows.
    world.execute("UPDATE landing.batch_sink SET state = 'pending', error = NULL")
    world.fail(request.batch_id, "r1", "transient")
    (again,) = world.tick(after=61).requests
    assert again.sinks == ("first", "third")
    assert world.sinks(request.batch_id)["second"] == "retired"


def test_a_new_sink_is_offered_what_is_loaded_and_not_given_it(world: TickWorld) -> None:
    for name in ("a", "b"):
        world.put(name)
        (request,) = world.tick().requests
        world.run(request.batch_id, f"r {name}", "first", "second")
        assert world.state(request.batch_id) == "loaded"
    world.execute("UPDATE landing.batch SET partition_removed_at = now() WHERE batch_id = %s",
                  request.batch_id)  # fmt: skip
    world.deploy("first", "second", "third")
    tick = world.tick()
    assert tick.lacking == {"third": 1}
    assert tick.changed, "it is observed"
    assert "1 loaded batches were never in third: a backfill writes them" in tick.message
    assert tick.requests == ()
    assert world.sinks(request.batch_id) == {"first": "done", "second": "done"}
    assert world.tick().lacking == {}, "once for each deploy"


def test_a_batch_in_use_is_reconciled_at_the_next_tick(world: TickWorld, ledger_url: str) -> None:
    world.put("a")
    (request,) = world.tick().requests
    world.deploy("first")
    with psycopg.connect(ledger_url) as other:
        other.execute("SELECT FROM landing.batch FOR UPDATE")
        tick = world.tick()
        assert tick.requests, "no tick waits for a run that commits"
        assert world.sinks(request.batch_id)["second"] == "pending"
    world.tick()
    assert world.sinks(request.batch_id)["second"] == "retired"


def test_nothing_is_read_while_the_sinks_are_the_same(world: TickWorld) -> None:
    world.put("a")
    world.tick()
    found = declared_sinks.reconcile(
        world.connection, world.source.name, world.source.sinks, world.now
    )
    assert found == declared_sinks.Reconciled()
    row = world.connection.execute("SELECT sinks FROM landing.scan").fetchone()
    assert row == (["first", "second"],)
