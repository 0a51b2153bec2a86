"""Finding out what became of a job, against stand-ins for BigQuery."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core.exceptions import Conflict, Forbidden, NotFound

from assets.reading import merges
from assets.reading.merges import settle


class Job:
    def __init__(self, looks: int) -> None:
        self.looks = looks

    def done(self, **_: Any) -> bool:
        self.looks -= 1
        return self.looks < 0


class Client:
    """``jobs``: what get_job gives or raises, call by call; ``query``: the same."""

    def __init__(self, jobs: list[Any], query: Any = None) -> None:
        self.jobs, self.started, self._query = jobs, [], query

    def get_job(self, job_id: str, **options: Any) -> Job:
        assert (job_id, options["location"]) == ("a", "EU")
        return _given(self.jobs.pop(0))

    def query(self, sql: str, *, job_id: str, **options: Any) -> Job:
        assert (job_id, options["location"], options["job_retry"]) == ("a", "EU", None)
        self.started.append(sql)
        return _given(self._query)


def _given(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merges, "_LOOK_SECONDS", 0.001)


def test_a_job_that_runs_is_waited_for() -> None:
    job = Job(looks=3)
    client = Client([job])
    settle(client, "a", location="EU")  # type: ignore[arg-type]
    assert job.looks == -1
    assert client.started == []


def test_a_job_that_never_started_cannot_start_any_more() -> None:
    burnt = Job(looks=1)
    client = Client([NotFound("")], query=burnt)
    settle(client, "a", location="EU")  # type: ignore[arg-type]
    assert client.started == ["SELECT 1 AS one"]
    assert burnt.looks == -1


def test_a_job_that_starts_at_that_moment_is_waited_for() -> None:
    job = Job(looks=2)
    client = Client([NotFound(""), job], query=Conflict(""))
    settle(client, "a", location="EU")  # type: ignore[arg-type]
    assert job.looks == -1


def test_what_is_not_known_is_not_settled() -> None:
    with pytest.raises(Forbidden):
        settle(Client([Forbidden("")]), "a", location="EU")  # type: ignore[arg-type]


def test_a_job_that_does_not_end_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merges, "JOB_TIMEOUT", 0.01)
    with pytest.raises(TimeoutError, match="does not end"):
        settle(Client([Job(looks=10**9)]), "a", location="EU")  # type: ignore[arg-type]
