"""fencing a MERGE: one at a time, and never beside one whose sender is gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from assets.reading.fencing import fencing_token

pytestmark = pytest.mark.servers("postgres")

TABLE = "project.reading.user_interaction"


@pytest.fixture
def connections(env: dict[str, str]) -> Iterator[list[psycopg.Connection]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(psycopg.connect(env["POSTGRES_URL"], autocommit=True))
            for _ in range(2)
        ]


def noted(conn: psycopg.Connection) -> list[tuple[str]]:
    return conn.execute(
        "SELECT job_id FROM reading.merge_fence WHERE table_name = %s", (TABLE,)
    ).fetchall()


def test_one_at_a_time(connections: list[psycopg.Connection]) -> None:
    first, second = connections
    waited_for: list[str] = []
    entered, inside = threading.Event(), []

    def next_one() -> None:
        with fencing_token(second, TABLE, waited_for.append) as job_id:
            inside.append(job_id)
            entered.set()

    thread = threading.Thread(target=next_one)
    with fencing_token(first, TABLE, waited_for.append) as job_id:
        assert noted(first) == [(job_id,)]
        thread.start()
        assert not entered.wait(0.3)
        with fencing_token(first, f"{TABLE}_other", waited_for.append) as other:
            assert other != job_id
    thread.join(10)
    assert inside
    assert inside != [job_id]
    assert waited_for == []
    assert noted(first) == []


def test_the_job_of_a_sender_that_died_is_waited_for(
    connections: list[psycopg.Connection],
) -> None:
    first, second = connections
    # What the server does with the connection of a process that was killed.
    end = ("SELECT pg_terminate_backend(%s)", (first.info.backend_pid,))
    with (
        pytest.raises(psycopg.OperationalError),
        fencing_token(first, TABLE, lambda _: None) as left,
    ):
        second.execute(*end)
    waited_for: list[str] = []
    with fencing_token(second, TABLE, waited_for.append) as job_id:
        assert waited_for == [left]
        assert job_id != left
    assert noted(second) == []


def test_a_job_that_is_not_known_to_have_ended_is_waited_for(
    connections: list[psycopg.Connection],
) -> None:
    first, second = connections
    with pytest.raises(ConnectionError), fencing_token(first, TABLE, lambda _job: None) as left:
        raise ConnectionError

    def cannot_tell(_job: str) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), fencing_token(second, TABLE, cannot_tell):
        raise AssertionError("entered although the job may still run")
    waited_for: list[str] = []
    with fencing_token(second, TABLE, waited_for.append):
        assert waited_for == [left]
