"""Questions and looks, with systems that are functions."""

from __future__ import annotations

import asyncio
import threading

import pytest

from api import stores
from api.problems import ProblemError
from api.stores import Stores, System
from resources.configured import NotSetError


class Fake:
    """A system that is there or not; counts the looks at it."""

    def __init__(self) -> None:
        self.there, self.looks, self.came_back = True, 0, 0

    def check(self) -> str:
        self.looks += 1
        if not self.there:
            raise ConnectionRefusedError("refused")
        return "there"

    def again(self) -> None:
        self.came_back += 1

    @property
    def system(self) -> System:
        return System(self.check, self.again)


def ran(body):
    return asyncio.run(body())


async def until(holds):
    while not holds():  # noqa: ASYNC110  of other threads
        await asyncio.sleep(0.01)


def test_an_answer_and_an_error_of_the_question_come_through_without_a_look():
    fake = Fake()
    of = Stores({"one": fake.system})

    def fails():
        raise KeyError("nobody")

    async def body():
        assert await of.ask(["one"], lambda: 7) == 7
        with pytest.raises(KeyError):
            await of.ask(["one"], fails)

    ran(body)
    assert fake.looks == 0


def test_who_is_away_is_named_and_nobody_waits_until_it_is_back():
    fake, other = Fake(), Fake()
    of = Stores({"one": fake.system, "other": other.system})
    asked = []

    def question():
        asked.append(1)
        if not fake.there:
            raise ConnectionResetError("reset")
        return 7

    async def body():
        fake.there = False
        with pytest.raises(ProblemError) as said:
            await of.ask(["other", "one"], question)
        assert said.value.problem.model_dump()["system"] == "one"
        with pytest.raises(ProblemError):
            await of.ask(["one"], question)
        assert len(asked) == 1, "the second did not reach the system"
        assert await of.ask(["other"], lambda: 8) == 8
        watching = asyncio.create_task(of.watch())
        fake.there = True
        await until(lambda: not of.systems["one"].breaker.open)
        watching.cancel()
        assert await of.ask(["one"], question) == 7

    ran(body)
    assert (fake.came_back, other.came_back) == (1, 0)


def test_a_system_without_its_variable_is_named_and_no_fault_of_the_service():
    of = Stores({"one": Fake().system})

    def question():
        raise NotSetError("ONE_URL is not set")

    async def body():
        with pytest.raises(ProblemError) as said:
            await of.ask(["one"], question)
        problem = said.value.problem
        assert (problem.status, problem.code) == (503, "not_configured")
        assert "ONE_URL" in problem.detail

    ran(body)


def test_a_slow_answer_of_systems_that_are_there_is_waited_for(monkeypatch):
    monkeypatch.setattr(stores, "PATIENCE", 0.0)
    fake, done = Fake(), threading.Event()
    of = Stores({"one": fake.system})

    async def body():
        asking = asyncio.create_task(of.ask(["one"], lambda: done.wait(60)))
        await until(lambda: fake.looks > 0)
        done.set()
        assert await asking is True
        done.clear()
        with pytest.raises(ProblemError) as said:
            await of.ask(["one"], lambda: done.wait(60), deadline=0.2)
        assert (said.value.problem.status, said.value.problem.code) == (504, "deadline_exceeded")
        done.set()

    ran(body)


def test_a_look_of_lately_is_not_repeated_for_everybody():
    fake = Fake()
    of = Stores({"one": fake.system})

    async def body():
        for _ in range(20):
            assert await of.looked("one") is None

    ran(body)
    assert fake.looks == 1


def test_a_question_of_postgres_does_not_wait_for_other_systems():
    of = Stores({"postgres": Fake().system, "other": Fake().system})
    ends = threading.Event()

    async def body():
        waiting = [
            asyncio.ensure_future(of.ask(["other"], ends.wait)) for _ in range(stores.QUESTIONS)
        ]
        await asyncio.sleep(0)
        assert await of.ask(["postgres"], lambda: 7) == 7
        assert not any(one.done() for one in waiting)
        ends.set()
        await asyncio.gather(*waiting)

    ran(body)


def test_threads_that_wait_for_what_a_system_was_are_not_waited_for_once_it_is_back(monkeypatch):
    monkeypatch.setattr(stores, "PATIENCE", 0.05)
    monkeypatch.setattr(stores, "DEADLINE", 30.0)
    fake, ends = Fake(), threading.Event()
    of = Stores({"postgres": fake.system})

    async def body():
        fake.there = False
        for asked in [of.ask(["postgres"], ends.wait) for _ in range(stores.QUICK["postgres"])]:
            with pytest.raises(ProblemError):
                await asyncio.wait_for(asked, 10)
            of.systems["postgres"].breaker.seen_there()
        # Every thread is taken by now.
        of.systems["postgres"].breaker.seen_away(0.0, "gone")
        fake.there = True
        assert await of.look("postgres") is None
        assert await of.ask(["postgres"], lambda: 7) == 7

    try:
        ran(body)
    finally:
        ends.set()
