"""Batches that a run takes along to a sink that was away."""

from __future__ import annotations

from itertools import count
from typing import Any

import psycopg
import pytest

from landing.arrival import companions, ledger, outages
from landing.batch.failures import PermanentError, TransientError
from tests.integration.landing.tick_world import TickWorld

pytestmark = pytest.mark.servers("postgres")

RUN = "the run"


@pytest.fixture
def world(connection: psycopg.Connection[Any]) -> TickWorld:
    return TickWorld(connection)


def lacking(world: TickWorld, *names: str, sinks: tuple[str, ...] = ("second",)) -> list[str]:
    """A leader, in the hands of RUN and in all its sinks, and batches that lack these sinks."""
    batches = []
    for name in ("leader", *names):
        world.put(name)
        (request,) = world.tick(after=1).requests
        world.run(request.batch_id, f"r {name}", *{"first", "second"} - set(sinks))
        world.fail(request.batch_id, f"r {name}", "transient")
        batches.append(request.batch_id)
    world.bucket.clock.advance(61)  # all are due
    world.run(batches[0], RUN, *sinks)
    assert world.state(batches[0]) == "loaded"
    return batches


def test_all_that_waits_for_the_sink_is_taken_along_oldest_first(world: TickWorld) -> None:
    leader, *others = lacking(world, "a", "b", "c")
    done = world.catch_up(leader, RUN, "second")
    assert (done.taken, done.failed) == (others, [])
    for batch_id in others:
        assert world.state(batch_id) == "loaded"
        assert world.sinks(batch_id) == {"first": "done", "second": "done"}
        assert world.batch(batch_id).run_id == RUN
    assert not world.tick().requests


def test_no_more_than_so_many_batches_rows_and_seconds(
    world: TickWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, *others = lacking(world, *"abcdef")
    monkeypatch.setattr(companions, "MOST_BATCHES", 2)
    assert world.catch_up(leader, RUN, "second").taken == others[:2]
    monkeypatch.setattr(companions, "MOST_BATCHES", 64)
    monkeypatch.setattr(companions, "MOST_ROWS", 1)
    assert world.catch_up(leader, RUN, "second").taken == others[2:3]
    monkeypatch.setattr(companions, "MOST_ROWS", 100)
    seconds = count(0.0, companions.MOST_SECONDS / 2)
    done = world.catch_up(leader, RUN, "second", clock=lambda: next(seconds))
    assert done.taken == others[3:4]


@pytest.mark.parametrize(
    "why",
    [
        "deaths = 1", "restage = true", "validated_at = NULL", "unit = '2026-11'",
        "next_attempt_at = next_attempt_at + interval '1 hour'", "away = true",
        "state = 'failed_permanent'", "state = 'requested'", "source = 'another'",
    ],
)  # fmt: skip
def test_what_has_to_go_alone_or_is_not_due_is_not_taken_along(world: TickWorld, why: str) -> None:
    leader, one, other = lacking(world, "a", "b")
    world.execute(f"UPDATE landing.batch SET {why} WHERE batch_id = %s", one)
    before = world.batch(one)
    assert world.catch_up(leader, RUN, "second").taken == [other]
    assert world.batch(one) == before


def test_a_batch_of_its_own_trouble_costs_the_others_nothing(world: TickWorld) -> None:
    leader, one, two, three = lacking(world, "a", "b", "c")

    def give(batch_id: str) -> int:
        if batch_id == two:
            raise PermanentError("no such thing")
        return world.take(batch_id, RUN, "second")

    done = world.catch_up(leader, RUN, "second", give)
    assert (done.taken, done.failed) == ([one, three], [two])
    assert world.state(three) == "loaded"
    failed = world.batch(two)
    assert (failed.state, failed.error) == (
        "failed_permanent", "second: PermanentError: no such thing",
    )  # fmt: skip


def test_a_sink_that_is_away_again_ends_it_and_uses_up_one_attempt(world: TickWorld) -> None:
    leader, one, two, three = lacking(world, "a", "b", "c")

    def give(batch_id: str) -> int:
        if batch_id == one:
            return world.take(batch_id, RUN, "second")
        world.execute(
            "UPDATE landing.batch_sink SET state = 'failed', error_class = 'transient',"
            " error = 'refused', run_id = %s WHERE batch_id = %s AND sink = 'second'",
            RUN, batch_id,
        )  # fmt: skip
        raise TransientError("refused")

    untouched = world.batch(three)
    done = world.catch_up(leader, RUN, "second", give)
    assert (done.taken, done.failed) == ([one], [two])
    failed = world.batch(two)
    assert (failed.state, failed.begun) == ("failed_transient", 2)
    assert failed.next_attempt_at is not None
    assert failed.next_attempt_at > world.now
    assert world.batch(three) == untouched
    failures = world.connection.execute("SELECT sink, failures FROM landing.sink_failures")
    assert failures.fetchall() == [("second", 1)]


def test_an_interrupted_run_gives_back_what_it_has_in_hand(world: TickWorld) -> None:
    leader, one = lacking(world, "a")
    before = world.batch(one)

    def give(batch_id: str) -> int:
        world.execute(
            "UPDATE landing.batch_sink SET state = 'failed', run_id = %s WHERE batch_id = %s"
            " AND sink = 'second'", RUN, batch_id,
        )  # fmt: skip
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.catch_up(leader, RUN, "second", give)
    after = world.batch(one)
    assert (after.state, after.begun, after.attempt) == ("waiting", before.begun, before.attempt)
    assert world.sinks(one) == {"first": "done", "second": "pending"}
    (request,) = world.tick().requests
    assert (request.batch_id, request.sinks) == (one, ("second",))


def test_the_one_in_hand_when_the_process_dies_is_tried_alone(world: TickWorld) -> None:
    leader, one = lacking(world, "a")
    taken = companions.take_along(
        world.connection, leader=leader, sink="second", before=["first"], run_id=RUN, now=world.now
    )
    assert taken == one
    world.tick()
    tick = world.tick(after=31)
    assert tick.lost == (one,)
    assert world.batch(one).deaths == 1
    assert not world.catch_up(leader, "another run", "second")
    assert [request.batch_id for request in tick.requests] == [one]


def test_two_steps_at_once_never_take_the_same(world: TickWorld) -> None:
    leader, one, two = lacking(world, "a", "b")
    with psycopg.connect(world.url) as other, other.transaction():
        took = [
            companions.take_along(
                connection, leader=leader, sink="second", before=[], run_id=RUN, now=world.now
            )
            for connection in (other, world.connection)
        ]
    assert took == [one, two]


def test_a_batch_reaches_its_sinks_in_their_order(world: TickWorld) -> None:
    leader, one = lacking(world, "a", sinks=("first", "second"))
    assert not world.catch_up(leader, RUN, "second"), "the first comes first"
    assert world.catch_up(leader, RUN, "first").taken == [one]
    assert world.state(one) == "waiting"
    assert world.catch_up(leader, RUN, "second").taken == [one]
    assert world.state(one) == "loaded"


def test_what_lacks_a_sink_that_is_still_away_goes_on_waiting_for_it(world: TickWorld) -> None:
    leader, one = lacking(world, "a", sinks=("first", "second"))
    world.execute(
        "INSERT INTO landing.sink_outage (source, sink, since, steps, next_probe_at, error)"
        " VALUES (%s, 'second', %s, 1, %s + interval '1 hour', 'refused')",
        world.source.name, world.now, world.now,
    )  # fmt: skip
    assert world.catch_up(leader, RUN, "first").taken == [one]
    batch = world.batch(one)
    assert batch.state == "waiting"
    assert batch.error is not None
    assert batch.error.startswith("waits for second, which is away")
    assert outages.away_sinks(world.connection, world.source.name) == ["second"]
    assert not world.tick().requests


def test_a_run_that_no_longer_holds_it_changes_nothing(world: TickWorld) -> None:
    leader, one, two = lacking(world, "a", "b")

    def give(batch_id: str) -> int:
        world.execute("UPDATE landing.batch SET run_id = 'another' WHERE batch_id = %s", batch_id)
        raise TransientError("cut off")

    world.catch_up(leader, RUN, "second", give)
    assert (world.state(one), world.batch(one).run_id) == ("running", "another")
    assert {batch.batch_id for batch in ledger.batches_in_run(world.connection, RUN)} == {leader}
    assert world.state(two) == "failed_transient"
