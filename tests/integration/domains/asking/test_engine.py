"""A month asked of the stand-in over HTTP, with the ledger in a real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from assets.domains.asking import ledger
from assets.domains.asking.engine import AskingRefusedError, AskingUnfinishedError
from landing.batch.failures import PermanentError, classify
from tests.integration.domains.asking.world import MONTH, World, prompt

pytestmark = pytest.mark.servers("postgres", "openai")


@pytest.fixture
def world(env) -> World:
    return World(env)


def chat_calls(admin) -> int:
    return admin.counters()["calls"].get("chat", 0)


def served_tokens(admin) -> tuple[int, int]:
    """What was generated and told; of what was lost on its way nobody knows."""
    counters = admin.counters()
    return (
        counters["prompt_tokens"] - counters["lost_prompt_tokens"],
        counters["completion_tokens"] - counters["lost_completion_tokens"],
    )


def test_every_prompt_is_asked_once_and_never_again(world, openai_admin):
    prompts = [prompt(number) for number in range(120)]
    assert world.add(*prompts) == 120
    report = world.ask()
    assert (report.prompts, report.answered, report.left) == (120, 120, 0)
    assert chat_calls(openai_admin) == report.requests == 120
    assert world.tokens() == served_tokens(openai_admin)
    assert world.answer("hash-00007")["answer"].startswith("Facts given: domain number 7:")
    world.assert_sound()

    openai_admin.clear_counters()
    assert world.add(*prompts) == 0
    again = world.ask()
    assert (again.unchanged, again.requests, again.cost) == (120, 0, 0)
    assert chat_calls(openai_admin) == 0


def test_a_prompt_that_another_month_has_costs_nothing(world, openai_admin):
    world.add(*(prompt(number) for number in range(10)))
    world.ask()
    april = date(2025, 4, 1)
    world.add(*(prompt(number) for number in range(5, 15)), month=april)
    report = world.ask(april)
    assert (report.prompts, report.unchanged, report.answered) == (10, 5, 5)
    assert chat_calls(openai_admin) == 15
    with world.pg.connect() as conn:
        assert [ledger.costs(conn, month).requests for month in (MONTH, april)] == [10, 5]
        assert ledger.left(conn, april) == 0
    world.assert_sound()


def test_workers_share_a_month(world, openai_admin):
    openai_admin.set_faults(latency=0.05)
    world.add(*(prompt(number) for number in range(300)))
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: world.ask(), range(3)))
    assert sum(report.answered for report in reports) == 300
    assert min(report.answered for report in reports) > 0
    assert all(report.left == 0 for report in reports), "each waits for the others"
    assert chat_calls(openai_admin) == 300
    world.assert_sound()


@pytest.mark.parametrize(
    ("fault", "result", "paid"),
    [
        ("429", "429", "no"),
        ("500", "500", "no"),
        ("503", "503", "no"),
        ("hang", "timeout", "maybe"),
        ("malformed", "malformed", "maybe"),
        ("empty", "empty", "yes"),
        ("disconnect", "connection", "maybe"),
    ],
)
def test_what_fails_is_asked_again(world, openai_admin, fault, result, paid):
    openai_admin.set_faults(script=["ok", fault, fault, fault], retry_after=0.2)
    world.add(*(prompt(number) for number in range(10)))
    report = world.ask(timeout=1.0, concurrency=4)
    assert (report.answered, report.left) == (10, 0)
    assert report.retries == {result: 3}
    assert chat_calls(openai_admin) == 13
    assert world.attempts() == {"ok": 10, result: 3}
    assert world.query(
        "SELECT DISTINCT paid FROM domains.openai_attempt WHERE result = %s", result
    ) == [(paid,)]
    assert (report.written_off > 0) == (paid == "maybe")
    world.assert_sound()


def test_many_faults_at_once(world, openai_admin):
    rates = {
        "429": 0.1, "500": 0.05, "hang": 0.01, "late": 0.01, "malformed": 0.02, "empty": 0.02,
        "disconnect": 0.02, "truncated": 0.02, "refusal": 0.01, "content_filter": 0.01,
    }  # fmt: skip
    openai_admin.set_faults(rates=rates, seed=7, retry_after=0.1, latency=0.01)
    world.add(*(prompt(number) for number in range(400)))
    report = world.ask(timeout=1.0, concurrency=50)
    counters = openai_admin.counters()
    faults = counters["faults"]
    assert (sum(report.outcomes.values()), report.left) == (400, 0)
    assert report.outcomes["refused"] == faults.pop("refusal")
    assert report.outcomes["filtered"] == faults.pop("content_filter")
    again = sum(faults.values()) - report.outcomes.get("truncated", 0)  # cut twice, set aside
    assert counters["calls"]["chat"] == report.requests == 400 + again
    assert world.tokens() == served_tokens(openai_admin)
    [[maybe]] = world.query("SELECT count(*) FROM domains.openai_attempt WHERE paid = 'maybe'")
    assert 0 < counters["lost_calls"] <= maybe
    assert counters["received_twice"] == 0
    world.assert_sound()


def test_a_wrong_key_costs_one_request(world, openai_admin):
    openai_admin.set_faults(rates={"401": 1})
    world.add(*(prompt(number) for number in range(100)))
    with pytest.raises(PermanentError, match=r"401.*OPENAI_API_KEY.*100 of 100") as caught:
        world.ask()
    assert classify(caught.value) == "permanent"
    assert chat_calls(openai_admin) == 1
    assert world.states() == {"pending": 100}
    world.assert_sound()
    openai_admin.end_faults()
    assert world.ask().answered == 100


def test_a_refusal_behind_the_open_gate_loses_nothing(world, openai_admin):
    openai_admin.set_faults(script=["ok"] * 30 + ["400"], latency=0.05)
    world.add(*(prompt(number) for number in range(100)))
    with pytest.raises(AskingRefusedError, match="400") as caught:
        world.ask(concurrency=10)
    answered = caught.value.report.answered
    assert 30 <= answered <= 40, "those in flight are settled"
    assert world.states() == {"answered": answered, "pending": 100 - answered}
    assert chat_calls(openai_admin) == answered + 1
    world.assert_sound()


def test_a_server_that_is_away_is_tried_a_little(world, openai_admin):
    openai_admin.set_faults(rates={"503": 1})
    world.add(*(prompt(number) for number in range(100)))
    with pytest.raises(AskingUnfinishedError, match="100 of 100") as caught:
        world.ask(patience=3.0)
    assert classify(caught.value) == "transient"
    assert chat_calls(openai_admin) <= 12, "one at a time, with pauses"
    openai_admin.end_faults()
    assert world.ask().answered == 100
    world.assert_sound()


def test_a_server_that_goes_away_opens_the_breaker(world, openai_admin):
    openai_admin.set_faults(script=["ok"] * 100, rates={"500": 1}, latency=0.02)
    world.add(*(prompt(number) for number in range(1000)))
    with pytest.raises(AskingUnfinishedError, match="does not answer"):
        world.ask(patience=2.0, concurrency=20)
    assert 100 <= chat_calls(openai_admin) <= 100 + 40 + 20
    openai_admin.end_faults()
    assert world.ask().left == 0
    world.assert_sound()


def test_a_prompt_that_always_fails_ends_the_run_when_all_others_are_done(world, openai_admin):
    openai_admin.set_faults(script=["ok", "500"])
    world.add(*(prompt(number) for number in range(20)))
    with pytest.raises(AskingUnfinishedError, match="1 prompts failed 1 times") as caught:
        world.ask(attempts=1, concurrency=1)
    assert caught.value.report.answered == 19
    assert world.states() == {"answered": 19, "pending": 1}
    openai_admin.set_faults(script=["500", "500", "500", "ok"])
    with pytest.raises(AskingUnfinishedError, match="1 prompts failed 3 times"):
        world.ask(attempts=3)
    assert world.ask(attempts=3).answered == 1
    world.assert_sound()


def test_a_long_retry_after_is_followed(world, openai_admin):
    openai_admin.set_faults(script=["ok", "429"], retry_after=3.0)
    world.add(*(prompt(number) for number in range(5)))
    assert world.ask().answered == 5
    [[wait]] = world.query(
        "SELECT extract(epoch FROM max(b.at) - a.at) FROM domains.openai_attempt a"
        " JOIN domains.openai_attempt b USING (prompt_hash) WHERE a.result = '429' GROUP BY a.at"
    )
    assert wait >= 3.0


def test_the_budget_is_never_exceeded(world, openai_admin):
    openai_admin.set_faults(latency=0.05, rates={"malformed": 0.05}, seed=3)
    world.add(*(prompt(number) for number in range(400)))
    budget = 20_000  # a request costs 130 to 200, its worst case is 475
    with pytest.raises(AskingRefusedError, match=r"budget of \$0.02 .* left") as caught:
        world.ask(budget_micros=budget, concurrency=50)
    [[spent, reserved]] = world.query("SELECT spent, reserved FROM domains.openai_budget")
    assert reserved == 0
    assert budget - 500 < spent <= budget
    assert caught.value.report.left == world.states()["pending"] > 0
    world.assert_sound()
    assert world.ask().left == 0
