"""What becomes of answers that are not simply good, and of limits that the server names."""

from __future__ import annotations

import itertools
import socket
import threading
import time

import pytest

from assets.domains.asking import statements
from assets.domains.asking.claims import claim_parameters
from assets.domains.asking.engine import AskingRefusedError, AskingUnfinishedError
from assets.domains.asking.limits import Prices
from tests.integration.domains.asking.fake_openai import (
    COMPLETION_TOKENS,
    PROMPT_TOKENS,
    Reply,
    completion,
    echo,
    error,
    fake_openai,
)
from tests.integration.domains.asking.world import INPUT, MONTH, OUTPUT, World, limits, prompt

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def fake():
    with fake_openai() as server:
        yield server


@pytest.fixture
def world(env, fake) -> World:
    return World(env, fake.url)


def cost(*completions: int) -> int:
    return sum(-int(-(PROMPT_TOKENS * INPUT + tokens * OUTPUT) // 1) for tokens in completions)


def test_a_refusal_is_kept_with_its_words(world, fake):
    fake.rule = lambda body, n: Reply(completion(None, refusal="I can't help with that."))
    world.add(prompt(1))
    report = world.ask()
    row = world.answer("hash-00001")
    assert (row["state"], row["outcome"]) == ("rejected", "refused")
    assert row["answer"] == "I can't help with that."
    assert report.outcomes == {"refused": 1}
    assert world.ask().requests == 0, "a rejected prompt is not asked again"


@pytest.mark.parametrize("status", [200, 400])
def test_a_filtered_answer_is_set_aside(world, fake, status):
    filtered = completion("half of", finish="content_filter")
    fake.rule = lambda body, n: Reply(filtered) if status == 200 else error(400, "content_filter")
    world.add(prompt(1))
    assert world.ask().outcomes == {"filtered": 1}
    row = world.answer("hash-00001")
    assert (row["state"], row["attempts"]) == ("rejected", 1)
    assert row["cost"] == (cost(COMPLETION_TOKENS) if status == 200 else 0)
    world.assert_sound()


def test_a_cut_answer_is_asked_once_more_with_twice_the_limit(world, fake):
    def rule(body, n):
        if body["max_completion_tokens"] >= 400:
            return echo(body, n)
        return Reply(completion("half", finish="length", completion_tokens=200))

    fake.rule = rule
    world.add(prompt(1))
    report = world.ask()
    assert [body["max_completion_tokens"] for body in fake.bodies] == [200, 400]
    assert (report.outcomes, report.reasks) == ({"ok": 1}, {"truncated": 1})
    assert world.answer("hash-00001")["cost"] == cost(200, COMPLETION_TOKENS) == report.cost
    assert world.attempts() == {"ok": 1, "truncated": 1}
    world.assert_sound()


def test_an_answer_that_is_cut_twice_is_set_aside(world, fake):
    fake.rule = lambda body, n: Reply(completion("half", finish="length", completion_tokens=200))
    world.add(prompt(1))
    assert world.ask().outcomes == {"truncated": 1}
    row = world.answer("hash-00001")
    assert (row["state"], row["answer"], row["attempts"]) == ("rejected", "half", 2)
    assert row["cost"] == cost(200, 200)


def test_a_wrong_text_is_corrected_in_the_same_conversation(world, fake):
    def rule(body, n):
        wrong = len(body["messages"]) == 2
        return Reply(completion("number 99: wrong" if wrong else "number 1: right"))

    fake.rule = rule
    asked = prompt(1)
    world.add(asked)
    report = world.ask()
    assert fake.bodies[1]["messages"] == [
        *asked.request["messages"],
        {"role": "assistant", "content": "number 99: wrong"},
        {"role": "user", "content": "Write about number 1: that one only."},
    ]
    assert (report.outcomes, report.reasks) == ({"ok": 1}, {"invalid": 1})
    row = world.answer("hash-00001")
    assert (row["answer"], row["state"], row["reason"]) == ("number 1: right", "answered", None)
    assert row["cost"] == cost(COMPLETION_TOKENS, COMPLETION_TOKENS)
    world.assert_sound()


def test_a_text_that_stays_wrong_is_set_aside_with_its_reason(world, fake):
    fake.rule = lambda body, n: Reply(completion(f"nonsense {n}"))
    world.add(prompt(1))
    assert world.ask().outcomes == {"invalid": 1}
    row = world.answer("hash-00001")
    assert (row["state"], row["reason"], row["answer"]) == ("rejected", "another", "nonsense 1")


def test_a_cut_and_then_wrong_text_has_both_chances_once(world, fake):
    answers = iter(
        [
            completion("half", finish="length"),
            completion("wrong"),
            completion("half", finish="length"),
        ]
    )
    fake.rule = lambda body, n: Reply(next(answers))
    world.add(prompt(1))
    assert world.ask().outcomes == {"truncated": 1}
    assert [body["max_completion_tokens"] for body in fake.bodies] == [200, 400, 400]
    assert [len(body["messages"]) for body in fake.bodies] == [2, 2, 4]


@pytest.mark.parametrize(
    "body",
    [
        [],
        "text",
        None,
        {"choices": []},
        {"choices": [{}], "usage": {"prompt_tokens": 4, "completion_tokens": 1}},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]},
        completion("  "),
    ],
)
def test_bodies_that_answer_nothing(world, fake, body):
    fake.rule = lambda asked, n: echo(asked, n) if n == 1 else Reply(body)
    world.add(prompt(1))
    report = world.ask()
    assert (report.answered, report.requests) == (1, 2)
    world.assert_sound()


def test_no_text_breaks_the_ledger(world, fake):
    fake.rule = lambda body, n: Reply(completion("number 1: a\x00b \ud800 'quoted' \\ \U0001f600"))
    world.add(prompt(1))
    assert world.ask().answered == 1
    assert world.answer("hash-00001")["answer"] == "number 1: ab  'quoted' \\ \U0001f600"


def test_no_credit_is_fatal_whatever_its_status(world, fake):
    fake.rule = lambda body, n: error(429, "insufficient_quota", retry_after="1")
    world.add(*(prompt(number) for number in range(50)))
    with pytest.raises(AskingRefusedError, match="add credit"):
        world.ask()
    assert len(fake.bodies) == 1
    assert world.states() == {"pending": 50}


def test_a_broken_connection_may_have_been_paid(world, fake):
    """aiohttp's adapter calls it a ConnectTimeout."""
    fake.rule = lambda body, n: Reply(None, closed=True) if n == 1 else echo(body, n)
    world.add(*(prompt(number) for number in range(4)))
    assert world.ask(concurrency=1).answered == 4
    assert world.query("SELECT result, paid FROM domains.openai_attempt WHERE result <> 'ok'") == [
        ("connection", "maybe")
    ]
    world.assert_sound()


def test_a_server_that_is_not_there_is_not_paid(env):
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        world = World(env, f"http://127.0.0.1:{reserved.getsockname()[1]}/v1")
        world.add(*(prompt(number) for number in range(30)))
        with pytest.raises(AskingUnfinishedError, match="30 of 30"):
            world.ask(patience=1.0)
    assert world.query("SELECT DISTINCT result, paid FROM domains.openai_attempt") == [
        ("connection", "no")
    ]
    world.assert_sound()


def test_the_configured_rate_is_kept_by_workers_together(env, fake):
    worlds = [World(env, fake.url) for _ in range(3)]
    worlds[0].add(*(prompt(number) for number in range(90)))
    threads = [threading.Thread(target=lambda w=w: w.ask(requests_per_minute=1800)) for w in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worlds[0].states() == {"answered": 90}
    times = sorted(fake.times)
    # 30 a second, one second's worth may be caught up; a request needs a moment to arrive.
    for first, last in itertools.combinations(range(len(times)), 2):
        allowed = 30 * (times[last] - times[first] + 0.25) + 30
        assert last - first <= allowed
    assert times[-1] - times[0] >= 1.5


def test_a_limit_that_the_headers_name_is_kept(world, fake):
    headers = {"x-ratelimit-limit-requests": "1200", "x-ratelimit-limit-tokens": "1000000"}

    def rule(body, n):
        return Reply(echo(body, n).body, headers=headers)

    fake.rule = rule
    world.add(*(prompt(number) for number in range(80)))
    world.ask(concurrency=40)
    assert fake.times[-1] - fake.times[0] >= 2.0, "20 a second, one second's worth caught up"
    assert world.query("SELECT told_requests, told_tokens FROM domains.openai_rate") == [
        (1200.0, 1_000_000.0)
    ]


def test_a_full_account_stops_all_workers_as_long_as_it_asks(world, fake):
    def rule(body, n):
        if n == 20:
            return error(
                429, "rate_limit_exceeded", retry_after="1", x_ratelimit_remaining_requests="0"
            )
        return Reply(echo(body, n).body, delay=0.02)

    fake.rule = rule
    world.add(*(prompt(number) for number in range(60)))
    world.ask(concurrency=4, requests_per_minute=60_000)
    gaps = [later - earlier for earlier, later in itertools.pairwise(fake.times[20:])]
    assert max(gaps) >= 0.9
    [[factor, cut_at]] = world.query("SELECT factor, cut_at FROM domains.openai_rate")
    assert cut_at > 0
    assert factor < 1


def test_fifty_workers_never_exceed_a_budget(world):
    """Their claims and settlements alone, as fast as they can."""
    import psycopg

    from assets.domains.asking.claims import claimed
    from assets.domains.asking.outcome import completion_of, judge
    from assets.domains.asking.settlement import as_json, of_answer

    world.add(*(prompt(number) for number in range(600)))
    budget = 60_000
    prices = Prices.of(INPUT, OUTPUT)
    most: list[int] = []
    claims_made: list[str] = []

    def work(owner: str) -> None:
        parameters = claim_parameters(MONTH, prices, 8)
        parameters |= {"owner": owner, "state": "asked", "batch": None, "limit": 5}
        with psycopg.connect(world.pg.url, autocommit=True) as conn:
            while True:
                got = claimed(conn.execute(statements.CLAIM, parameters).fetchall())
                if not got.claims:
                    return
                claims_made.extend(claim.prompt_hash for claim in got.claims)
                row = conn.execute("SELECT spent + reserved FROM domains.openai_budget").fetchone()
                most.append(row[0])
                done = completion_of(completion("number", completion_tokens=200))
                settlements = [
                    of_answer(c, done, judge(c.facts, c.reask, 200, done, lambda *_: None), prices)
                    for c in got.claims
                ]
                conn.execute(
                    statements.SETTLE,
                    {"results": as_json(settlements), "owner": owner, "budget": "2025-03"},
                )

    with world.pg.connect() as conn:
        conn.execute(statements.OPEN_BUDGET, {"budget": "2025-03", "maximum": budget})
    threads = [threading.Thread(target=work, args=(f"owner-{n}",)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claims_made) == len(set(claims_made)) > 100
    assert max(most) <= budget
    [[spent, reserved]] = world.query("SELECT spent, reserved FROM domains.openai_budget")
    assert (spent, reserved) == (len(claims_made) * cost(200), 0)
    world.assert_sound()


def test_no_more_than_the_slots_are_in_flight(world, fake):
    fake.rule = lambda body, n: Reply(echo(body, n).body, delay=0.05)
    world.add(*(prompt(number) for number in range(100)))
    world.ask(concurrency=7)
    assert fake.most_open == 7


def test_the_first_request_is_alone_until_it_is_answered(world, fake):
    fake.rule = lambda body, n: Reply(echo(body, n).body, delay=0.3 if n == 0 else 0.0)
    world.add(*(prompt(number) for number in range(20)))
    world.ask()
    assert fake.times[1] - fake.times[0] >= 0.3


def test_a_review_that_fails_loses_nothing(world, fake):
    def broken(facts, text):
        raise ZeroDivisionError

    world.add(*(prompt(number) for number in range(10)))
    with pytest.raises(ZeroDivisionError):
        world.ask(review=broken)
    assert world.states().keys() <= {"pending", "asked"}
    assert world.ask().left == 0
    world.assert_sound()


def test_a_database_that_ends_the_session_ends_the_asking(world, fake):
    """Whose lock is gone is taken for dead: others would ask for the same again."""
    import psycopg

    fake.rule = lambda body, n: Reply(echo(body, n).body, delay=0.2)
    world.add(*(prompt(number) for number in range(200)))

    def cut_session() -> None:
        end = time.monotonic() + 20
        while len(fake.bodies) < 20:
            assert time.monotonic() < end
            time.sleep(0.02)
        world.query(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND classid = 87 AND objsubid = 2"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

    cutter = threading.Thread(target=cut_session)
    cutter.start()
    with pytest.raises(psycopg.OperationalError):
        world.ask(concurrency=5, progress_seconds=0.1)
    cutter.join()
    assert len(fake.bodies) < 200
    states = world.states()
    assert states["answered"] == len(fake.bodies), "what was in flight is settled"
    assert states.keys() == {"answered", "pending"}
    assert world.ask().left == 0
    assert len(fake.bodies) == 200
    world.assert_sound()


def test_progress_is_told(world, fake):
    from assets.domains.asking.engine import ask_month
    from tests.integration.domains.asking.world import LOG, names_its_number

    fake.rule = lambda body, n: Reply(echo(body, n).body, delay=0.1)
    world.add(*(prompt(number) for number in range(100)))
    looks: list = []
    report = ask_month(
        world.pg,
        world.openai,
        MONTH,
        review=names_its_number,
        limits=limits(concurrency=5, progress_seconds=0.3),
        log=LOG,
        progress=looks.append,
    )
    assert [look.done for look in looks] == sorted(look.done for look in looks)
    assert 0 < looks[0].done < looks[-1].done <= looks[-1].total == 100
    assert looks[-1].rate > 0
    assert looks[-1].eta is not None
    assert looks[-1].cost <= report.cost
