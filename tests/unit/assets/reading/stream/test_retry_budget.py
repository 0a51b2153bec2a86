from __future__ import annotations

import logging
import threading

import psycopg
import pytest
from google.api_core.exceptions import BadRequest, Forbidden, NotFound, ServiceUnavailable

from assets.reading.stream import retry_budget
from assets.reading.stream.retry_budget import Abandoned, RetryBudget
from landing.batch.failures import classify

LOG = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_budget, "FIRST_WAIT", 0.001)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ServiceUnavailable("down"), True),
        (ConnectionResetError(), True),
        (psycopg.OperationalError("the connection is closed"), True),
        (Forbidden("slow", errors=[{"reason": "rateLimitExceeded"}]), True),
        (Forbidden("slow", errors=[{"reason": "quotaExceeded"}]), True),
        (BadRequest("Could not serialize access to table due to concurrent update"), True),
        (Forbidden("not yours", errors=[{"reason": "accessDenied"}]), False),
        (BadRequest("syntax"), False),
        (NotFound("table"), False),
        (psycopg.errors.UndefinedTable("no such table"), False),
        (KeyError("a defect"), False),
    ],
)
def test_what_passes(error: Exception, passes: bool) -> None:
    assert (classify(error) == "transient") == passes


def test_it_goes_on_until_it_succeeds_and_starts_over_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[Exception | int] = [ServiceUnavailable("a"), ConnectionResetError(), 7]
    started_over = []

    def attempt() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    caplog.set_level(logging.INFO)
    retries = RetryBudget(threading.Event(), LOG, {"subscription": "s"})
    assert retries.until_done("merge", attempt, lambda: started_over.append(1)) == 7
    assert len(started_over) == 2
    # One word per ten seconds of trouble, and one when it has passed.
    assert [record.getMessage().split()[:3] for record in caplog.records] == [
        ["waiting_for", "step=merge", "subscription=s"],
        ["passed", "step=merge", "subscription=s"],
    ]


def test_what_does_not_pass_is_raised_at_once() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise NotFound("table")

    with pytest.raises(NotFound):
        RetryBudget(threading.Event(), LOG, {}).until_done("append", attempt)
    assert len(attempts) == 1


def test_it_ends_with_the_session() -> None:
    abandoned = threading.Event()
    abandoned.set()

    def attempt() -> None:
        raise ServiceUnavailable("down")

    with pytest.raises(Abandoned) as raised:
        RetryBudget(abandoned, LOG, {}).until_done("append", attempt)
    assert isinstance(raised.value.__cause__, ServiceUnavailable)
