"""Asking killed with -9: what was answered stays, what was in flight is asked once more."""

from __future__ import annotations

import signal
import time

import pytest

from tests import forks
from tests.faults.asking_runs import (
    CONCURRENCY,
    MOST_IN_FLIGHT,
    POINTS,
    ask_to_the_end,
    step,
    step_until_killed,
)
from tests.integration.domains.asking.world import World, prompt

pytestmark = pytest.mark.servers("postgres", "openai")

PROMPTS = 1_500
OTHER_SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.fixture
def world(env) -> World:
    return World(env)


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def killed_at(world: World, admin, answered: int) -> None:
    """A process that asks dies when so many are answered and many calls are in flight."""
    with forks.forked(ask_to_the_end) as process:
        until(
            lambda: (
                world.states().get("answered", 0) >= answered
                and admin.counters()["open_calls"] >= CONCURRENCY / 2
            )
        )
        process.kill()
    assert process.poll() == -signal.SIGKILL


@pytest.mark.parametrize("rates", [{}, {"429": 0.1, "500": 0.02, "malformed": 0.01, "late": 0.005}])
def test_killed_at_half_with_calls_in_flight(world, openai_admin, rates):
    plan = {"latency_p50": 0.3, "rates": rates, "retry_after": 0.2, "hang_seconds": 8}
    openai_admin.set_faults(**plan, seed=5)
    world.add(*(prompt(number) for number in range(PROMPTS)))
    killed_at(world, openai_admin, PROMPTS // 2)
    # A claim whose COMMIT was on its way is still the dead process's.
    until(lambda: world.query(OTHER_SESSIONS) == [(0,)])
    states = world.states()
    assert 0 < states["asked"] <= MOST_IN_FLIGHT + 2 * 50, "in flight, and claimed beforehand"
    before = states["answered"]

    openai_admin.set_faults(**plan, seed=6)
    report = world.ask(concurrency=CONCURRENCY)
    assert (report.left, report.recovered) == (0, states["asked"])
    assert report.unchanged == before
    assert world.states() == {"answered": PROMPTS}

    counters = openai_admin.counters()
    faults = sum(counters["faults"].values())
    assert counters["dispatched"] <= PROMPTS + MOST_IN_FLIGHT + faults
    assert counters["paid_twice"] <= MOST_IN_FLIGHT + faults
    assert counters["received_twice"] <= MOST_IN_FLIGHT
    assert len(openai_admin.prompts()) == PROMPTS
    noted = world.query("SELECT count(*) FROM domains.openai_attempt WHERE result <> 'abandoned'")
    assert noted[0][0] <= counters["dispatched"] <= noted[0][0] + MOST_IN_FLIGHT
    [[prompt_tokens, completion_tokens]] = [world.tokens()]
    told = counters["prompt_tokens"] - counters["lost_prompt_tokens"]
    assert told - prompt_tokens >= 0, "what the killed process did not live to note"
    assert counters["completion_tokens"] >= completion_tokens
    world.assert_sound()

    openai_admin.clear_counters()
    assert world.ask().requests == 0
    assert openai_admin.counters()["calls"] == {}


def test_a_living_worker_takes_over_from_a_killed_one(world, openai_admin):
    openai_admin.set_faults(latency_p50=0.3)
    world.add(*(prompt(number) for number in range(PROMPTS)))
    with forks.forked(ask_to_the_end) as asking:
        killed_at(world, openai_admin, PROMPTS // 4)
        # Ends with die(), once all are answered: those of the dead one, too.
        assert asking.wait(60) == -signal.SIGKILL
    assert world.states() == {"answered": PROMPTS}
    assert openai_admin.counters()["dispatched"] <= PROMPTS + MOST_IN_FLIGHT
    world.assert_sound()


def test_told_to_end_it_settles_what_it_has_asked(world, openai_admin):
    openai_admin.set_faults(latency_p50=1.0)
    world.add(*(prompt(number) for number in range(PROMPTS)))
    with forks.forked(ask_to_the_end) as process:
        until(lambda: world.states().get("answered", 0) >= PROMPTS // 4)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) != 0
    states = world.states()
    assert states.keys() == {"answered", "pending"}
    counters = openai_admin.counters()
    assert counters["dispatched"] == counters["paid_calls"] == states["answered"] < PROMPTS
    world.assert_sound()


@pytest.mark.parametrize("point", POINTS)
def test_batches_killed_make_one_batch(world, openai_admin, point):
    openai_admin.set_faults(batch_delay=0.05)
    world.add(*(prompt(number) for number in range(30)))
    first, _ = POINTS[point]
    if first == 2:
        step(world)
        time.sleep(0.5)
    code = forks.exit_code_of(step_until_killed, point)
    assert code == -signal.SIGKILL

    until(lambda: step(world).left == 0)
    counters = openai_admin.counters()
    assert (counters["batches"], counters["batch_calls"]) == (1, 30)
    assert counters["calls"]["file_upload"] == 1
    assert (counters["paid_twice"], counters["paid_calls"]) == (0, 0)
    assert world.tokens() == (counters["batch_prompt_tokens"], counters["batch_completion_tokens"])
    assert world.states() == {"answered": 30}
    world.assert_sound("0.5")
