"""Many questions at once: bounded, complete, and not for ever to a service that is down."""

from __future__ import annotations

import threading
import time
from itertools import chain
from typing import Any

import pytest

from resources.asking import ask_all
from resources.polite_http import Failed, Found, Missing

PATIENCE = 24


class Service:
    """Answers by number; counts calls and how many are open."""

    def __init__(self, answer=lambda number: Found(str(number)), seconds: float = 0.0) -> None:
        self.answer, self.seconds = answer, seconds
        self.asked: list[int] = []
        self.open = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, number: int):
        with self.lock:
            self.asked.append(number)
            self.open += 1
            self.most = max(self.most, self.open)
        time.sleep(self.seconds)
        with self.lock:
            self.open -= 1
        return self.answer(number)


def ask(questions, service, *, concurrency=4, seconds=60.0, patience=PATIENCE):
    groups = ask_all(
        questions, service, concurrency=concurrency, seconds=seconds, patience=patience
    )
    return dict(chain.from_iterable(groups))


def test_every_question_is_asked_once_and_gets_its_own_answer():
    service = Service()
    assert ask(range(500), service) == {number: Found(str(number)) for number in range(500)}
    assert sorted(service.asked) == list(range(500))


@pytest.mark.parametrize("concurrency", [1, 3, 8])
def test_no_more_than_so_many_are_asked_at_once(concurrency):
    service = Service(seconds=0.002)
    ask(range(60), service, concurrency=concurrency)
    assert service.most <= concurrency
    assert concurrency == 1 or service.most > 1


def test_no_answer_waits_for_long_before_it_is_handed_over():
    service, handed_over = Service(seconds=0.001), 0
    for group in ask_all(range(100), service, concurrency=4, seconds=60, patience=PATIENCE):
        # Known to the service and not yet to the caller: what a kill here would lose.
        assert len(service.asked) - handed_over <= 2 * 4
        handed_over += len(group)
    assert handed_over == 100


def test_a_service_that_is_down_is_given_up():
    service = Service(lambda number: Failed("refused"))
    answers = ask(range(1_000), service)
    assert len(answers) == 1_000
    assert PATIENCE <= len(service.asked) <= PATIENCE + 4
    assert sum(answer is None for answer in answers.values()) == 1_000 - len(service.asked)


def test_a_service_that_often_fails_is_not():
    service = Service(lambda number: Missing() if number % 10 == 0 else Failed("500"))
    answers = ask(range(300), service)
    assert None not in answers.values()
    assert len(service.asked) == 300


def test_the_patience_counts_failures_in_a_row():
    service = Service(lambda number: Failed("500") if number < 10 else Found("x"))
    answers = ask(range(100), service, concurrency=1, patience=11)
    assert None not in answers.values()
    answers = ask(range(100), service, concurrency=1, patience=10)
    assert [number for number, answer in answers.items() if answer] == list(range(10))


def test_what_time_is_too_short_for_is_left_alone():
    service = Service(seconds=0.05)
    answers = ask(range(1_000), service, concurrency=2, seconds=0.2)
    assert 2 <= len(answers) < 50
    assert sorted(answers) == sorted(service.asked)
    assert None not in answers.values()


def test_a_defect_is_raised():
    def broken(number: int):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ask(range(10), broken)


def test_nothing_is_asked_any_more_when_the_caller_stops():
    service = Service(seconds=0.002)
    groups: Any = ask_all(range(1_000), service, concurrency=4, seconds=60, patience=PATIENCE)
    next(groups)
    groups.close()
    asked = len(service.asked)
    time.sleep(0.02)
    assert len(service.asked) == asked < 20


def test_no_question_needs_no_thread():
    assert ask([], Service()) == {}
