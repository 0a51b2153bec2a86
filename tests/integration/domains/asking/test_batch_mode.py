"""The Batch API, step by step as a sensor takes them, against a server of the test's own."""

from __future__ import annotations

import json
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import openai
import pytest

from assets.domains.asking import batch_ledger, batch_mode, ledger
from resources.advisory_locks import Lock, take
from tests.integration.domains.asking.fake_openai import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Reply,
    completion,
    fake_openai,
)
from tests.integration.domains.asking.world import (
    LOG,
    MONTH,
    World,
    anything_goes,
    limits,
    names_its_number,
    prompt,
)

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def fake():
    with fake_openai() as server:
        yield server


@pytest.fixture
def world(env, fake) -> World:
    return World(env, fake.url)


def step(world: World, **options) -> batch_mode.BatchStep:
    review = options.pop("review", names_its_number)
    changed = {name: options.pop(name) for name in ("requests", "size") if name in options}
    return batch_mode.step(
        world.pg, world.openai, MONTH, review=review, limits=limits(**options), log=LOG, **changed
    )


def until_done(world: World, most: int = 10, **options) -> list[batch_mode.BatchStep]:
    steps = []
    while not steps or steps[-1].left:
        assert len(steps) < most, steps
        steps.append(step(world, **options))
        world.query("SELECT pg_sleep(0.01)")
        world.assert_sound("0.5")
    return steps


def at_once(world: World) -> None:
    """What failed may be asked again now."""
    with world.pg.connect() as conn:
        conn.execute("UPDATE domains.openai_answer SET due_at = now()")


def test_a_month_is_one_batch_at_half_the_price(world, fake):
    world.add(*(prompt(number) for number in range(30)))
    first = step(world)
    assert (first.submitted, first.open_batches, first.left) == (30, 1, 30)
    assert world.states() == {"batched": 30}
    with world.pg.connect() as conn:
        assert ledger.standing(conn, MONTH).batched == 30
    second = step(world)
    assert (second.submitted, second.open_batches, second.left) == (0, 0, 0)
    assert second.outcomes == {"ok": 30}
    [batch] = fake.batches.made.values()
    [(key, state, answered)] = world.query("SELECT key, state, answered FROM domains.openai_batch")
    assert (batch["metadata"]["quintet_key"], state, answered) == (key, "collected", 30)
    each = -int(-(PROMPT_TOKENS * 0.25 + COMPLETION_TOKENS * 2) / 2 // 1)
    assert world.query("SELECT spent FROM domains.openai_budget") == [(30 * each,)]
    world.assert_sound("0.5")
    assert step(world) == batch_mode.BatchStep(outcomes={})
    assert len(fake.batches.made) == 1


def test_the_direct_engine_leaves_batched_prompts_alone(world, fake):
    world.add(*(prompt(number) for number in range(5)))
    step(world)
    world.add(*(prompt(number) for number in range(5, 8)))
    report = world.ask()
    assert (report.answered, report.left, report.batched) == (3, 5, 5)
    assert len(fake.bodies) == 3


def test_a_running_batch_is_left_alone(world, fake):
    fake.batches.looks = 3
    world.add(prompt(1))
    assert [one.open_batches for one in until_done(world)] == [1, 1, 1, 0]


def test_files_are_cut_at_the_limits_of_the_api(world, fake):
    world.add(*(prompt(number, text="x" * (50 + 7 * number)) for number in range(25)))
    until_done(world, requests=10, size=3_000)
    sizes = [
        (len(content), len(content.splitlines()))
        for file_id, content in fake.batches.contents.items()
        if fake.batches.files[file_id]["purpose"] == "batch"
    ]
    assert max(sizes)[0] <= 3_000
    assert max(lines for _, lines in sizes) <= 10
    assert fake.batches.requests() == 25
    assert world.states() == {"answered": 25}


def test_only_what_failed_is_asked_again(world, fake):
    good = fake.batches.good

    def line(asked, number):
        kinds = {
            0: ("error", {"error": {"code": "batch_expired", "message": "m"}}),
            1: ("error", {"response": {"status_code": 500, "body": {"error": {"type": "x"}}}}),
            2: None,
            3: ("output", {"response": {"status_code": 200, "body": {"choices": []}}}),
        }
        return (
            kinds.get(number, good(asked, number))
            if len(fake.batches.made) == 1
            else good(asked, number)
        )

    fake.batches.line = line
    fake.batches.status = "expired"
    world.add(*(prompt(number) for number in range(20)))
    step(world)
    collected = step(world)
    assert collected.outcomes == {"ok": 16, "batch_expired": 1, "500": 1, "expired": 1, "empty": 1}
    assert collected.left == 4
    fake.batches.status = "completed"
    at_once(world)
    until_done(world)
    assert [
        len(fake.batches.contents[one["input_file_id"]].splitlines())
        for one in fake.batches.made.values()
    ] == [20, 4]
    assert world.states() == {"answered": 20}


def test_all_failed_and_no_error_file(world, fake):
    fake.batches.line = lambda asked, number: (
        "error", {"response": {"status_code": 500, "body": {}}},
    )  # fmt: skip
    fake.batches.without_error_file = True
    world.add(*(prompt(number) for number in range(5)))
    step(world)
    assert step(world).outcomes == {"missing": 5}
    assert world.query("SELECT DISTINCT paid FROM domains.openai_attempt") == [("no",)]
    assert world.query("SELECT spent, reserved FROM domains.openai_budget") == [(0, 0)]


def test_answers_that_no_file_has_may_have_been_paid(world, fake):
    world.add(*(prompt(number) for number in range(5)))
    step(world)
    end = fake.batches._end

    def without_output(batch):
        end(batch)
        del fake.batches.contents[batch["output_file_id"]]

    fake.batches._end = without_output
    assert step(world).outcomes == {"missing": 5}
    [[spent, lost]] = world.query("SELECT spent, written_off FROM domains.openai_budget")
    assert spent == lost > 0


def test_a_batch_that_the_api_refuses_is_told_and_ends(world, fake):
    fake.batches.status, fake.batches.errors = "failed", ["model_not_found"]
    fake.batches.line = lambda asked, number: None
    world.add(*(prompt(number) for number in range(3)))
    for _ in range(4):
        last = step(world, attempts=2)
        at_once(world)
    assert len(fake.batches.made) == 2, "not for ever"
    assert (last.submitted, last.open_batches, last.left) == (0, 0, 3)
    errors = world.query("SELECT DISTINCT error FROM domains.openai_batch")
    assert errors == [("model_not_found",)]


def test_a_wrong_text_is_corrected_in_the_next_batch(world, fake):
    def rule(body, number):
        corrected = len(body["messages"]) == 4
        return Reply(completion("number 7: right" if corrected else "wrong"))

    fake.rule = rule
    world.add(prompt(7))
    until_done(world)
    assert len(fake.batches.made) == 2
    assert world.answer("hash-00007")["answer"] == "number 7: right"
    assert world.attempts() == {"invalid": 1, "ok": 1}


def test_a_hung_creation_makes_one_batch(world, fake):
    world.openai = world.openai.model_copy(update={"timeout": 0.5})
    fake.batches.hang_create = 2.0
    world.add(*(prompt(number) for number in range(5)))
    assert step(world).open_batches == 1
    assert world.query("SELECT state FROM domains.openai_batch") == [("created",)]
    until_done(world)
    assert len(fake.batches.made) == 1


def test_a_batch_that_the_api_has_lost(world, fake):
    world.add(*(prompt(number) for number in range(5)))
    step(world)
    fake.batches.made.clear()
    assert step(world).outcomes == {"gone": 5}
    assert world.states() == {"pending": 5}
    world.assert_sound("0.5")


def test_the_budget_bounds_batches(world, fake):
    world.add(*(prompt(number) for number in range(50)))
    first = step(world, budget_micros=5_000)
    assert 0 < first.submitted < 50
    assert first.submitted + first.unaffordable == 50
    assert step(world, budget_micros=10_000_000).submitted == first.unaffordable


def test_one_process_at_a_time_handles_a_months_batches(world, fake):
    world.add(prompt(1))
    with world.pg.connect(autocommit=True) as conn:
        take(conn, Lock.OPENAI_BATCHES, "2025-03")
        assert step(world).busy
    assert not fake.batches.made
    assert not step(world).busy


def test_a_turn_ends_before_its_session_does(world):
    with world.pg.connect(autocommit=True) as session:
        lasting: Any = SimpleNamespace(connect=lambda **_: nullcontext(session))
        with batch_ledger.batches_of(lasting, MONTH) as turn:
            assert turn is session
        with batch_ledger.batches_of(world.pg, MONTH) as turn:
            assert turn is not None


def test_the_same_prompts_make_the_same_file_and_another_key(world, fake):
    world.add(*(prompt(number) for number in range(4)))
    fake.batches.line = lambda asked, number: None
    step(world)
    step(world)
    at_once(world)
    step(world)
    contents = [fake.batches.contents[one["input_file_id"]] for one in fake.batches.made.values()]
    assert len(contents) == 2
    assert contents[0] == contents[1]
    assert [json.loads(line)["custom_id"] for line in contents[0].splitlines()] == [
        f"hash-{number:05}" for number in range(4)
    ]
    assert len(world.query("SELECT key FROM domains.openai_batch")) == 2


def test_an_api_that_is_away_is_met_again_by_the_next_step(env, world, fake):
    world.add(*(prompt(number) for number in range(4)))
    away = World(env, "http://127.0.0.1:9/v1")
    with pytest.raises(openai.APIConnectionError):
        step(away)
    with world.pg.connect() as conn:
        [batch] = batch_ledger.open_batches(conn, MONTH)
    assert batch.state == "intended"
    until_done(world, review=anything_goes)
    assert len(fake.batches.made) == 1
