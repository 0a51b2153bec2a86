"""A Postgres whose processes are stopped while its kernel goes on: a server of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import psycopg
import pytest

from landing.batch.failures import classify
from landing.batch.locks import hold_locks, run_lock_held
from local.services.postgres import url
from local.stack import Stack
from resources.postgres import PostgresResource
from resources.postgres_connection import WatchedAsyncConnection, WatchedConnection


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("frozen") / "stack")
    stack.up(["postgres"])
    yield stack
    stack.reset()


@pytest.fixture
def postgres(own: Stack, monkeypatch: pytest.MonkeyPatch) -> PostgresResource:
    for kind in (WatchedConnection, WatchedAsyncConnection):
        monkeypatch.setattr(kind, "silent_seconds", 0.5)
        monkeypatch.setattr(kind, "answer_seconds", 2)
    return PostgresResource(url=url(own.place(), "quintet"))


@pytest.fixture
def server(own: Stack) -> Iterator[psutil.Process]:
    """The postmaster; whatever is stopped goes on at the end."""
    running = own.running("postgres")
    assert running is not None
    first = psutil.Process(running.pid)
    while first.name() != "postgres":
        (first,) = first.children()
    yield first
    signalled(first, signal.SIGCONT)


def signalled(server: psutil.Process, number: int) -> None:
    for one in [server, *server.children()]:
        with contextlib.suppress(psutil.NoSuchProcess):  # a session that has ended meanwhile
            one.send_signal(number)


COPIED = "COPY (SELECT 1 FROM generate_series(1, 10) AS n, pg_sleep(n)) TO STDOUT"


def copy(connection: psycopg.Connection[Any]) -> None:
    with connection.cursor() as cursor, cursor.copy(COPIED) as rows:
        assert list(rows)


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: connection.execute("SELECT pg_sleep(60)"),
        copy,
        lambda connection: connection.execute("SELECT pg_advisory_lock(1)"),
    ],
    ids=["statement", "copy", "lock"],
)
def test_whoever_waits_for_a_frozen_server_is_told(postgres, server, call) -> None:
    def called() -> None:
        # The transaction's end must not wait for the server either.
        with postgres.connect() as connection, connection.transaction():
            stopping.start()
            call(connection)

    with psycopg.connect(postgres.url, autocommit=True) as holder:
        holder.execute("SELECT pg_advisory_lock(1)")
        stopping = threading.Timer(1.0, signalled, (server, signal.SIGSTOP))
        began = time.monotonic()
        with pytest.raises(psycopg.OperationalError, match="taken for frozen") as raised:
            called()
        assert time.monotonic() - began < 20
        stopping.join()
        signalled(server, signal.SIGCONT)
    assert classify(raised.value) == "transient"
    assert "PostgreSQL" in postgres.check(), "it goes on, and so do we"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landing.batch.locks._UNHEARD_SECONDS", 0.5)
    monkeypatch.setattr("landing.batch.locks._ANSWER_SECONDS", 2)


@pytest.mark.usefixtures("impatient")
def test_a_run_learns_that_its_locks_are_lost_and_ends_while_the_server_is_frozen(
    postgres, server
) -> None:
    lost: list[str] = []
    told = threading.Event()

    def on_lost(reason: str) -> None:
        lost.append(reason)
        told.set()

    with hold_locks(
        postgres.url, "frozen", "campaigns", on_lost=on_lost, ping_seconds=0.2, loss_seconds=1.0
    ):
        signalled(server, signal.SIGSTOP)
        assert told.wait(20)
        leaving = time.monotonic()
    assert time.monotonic() - leaving < 5, "nothing waits for the server"
    assert len(lost) == 1


@pytest.mark.usefixtures("impatient")
def test_the_locks_are_taken_again_once_the_server_goes_on(postgres, server) -> None:
    lost: list[str] = []
    with (
        psycopg.connect(postgres.url, autocommit=True) as watching,
        hold_locks(postgres.url, "frozen", on_lost=lost.append, ping_seconds=0.2, loss_seconds=60),
    ):
        first = sessions(watching)
        signalled(server, signal.SIGSTOP)
        time.sleep(5)  # it has given its session up by then
        signalled(server, signal.SIGCONT)
        end = time.monotonic() + 20
        while sessions(watching) in ([], first):
            assert time.monotonic() < end
            time.sleep(0.05)
        while not run_lock_held(watching, "frozen"):
            assert time.monotonic() < end
            time.sleep(0.05)
    assert lost == []


def sessions(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'quintet run frozen'"
    ).fetchall()


def test_an_event_loop_is_told_too(postgres, server) -> None:
    async def called() -> None:
        async with await postgres.connect_async() as connection:
            stopping.start()
            await connection.execute("SELECT pg_sleep(60)")

    stopping = threading.Timer(1.0, signalled, (server, signal.SIGSTOP))
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="taken for frozen"):
        asyncio.run(called())
    assert time.monotonic() - began < 20
    stopping.join()
    signalled(server, signal.SIGCONT)


def test_a_server_that_only_works_is_waited_for(postgres, server) -> None:
    with postgres.connect(autocommit=True) as connection:
        assert connection.execute("SELECT pg_sleep(2)").fetchone() == ("",)
        # One that says no to another connection has said something.
        connection.execute("ALTER DATABASE quintet CONNECTION LIMIT 0")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")  # pragma: allowlist secret
        name, password = "guest", "guest"  # pragma: allowlist secret
        connection.url = psycopg.conninfo.make_conninfo(postgres.url, user=name, password=password)
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            psycopg.connect(connection.url)
        assert connection.execute("SELECT pg_sleep(2)").fetchone() == ("",)
        connection.execute("ALTER DATABASE quintet CONNECTION LIMIT -1")
        # And so has one of which only our own process is stopped: the others serve on.
        backend = psutil.Process(connection.info.backend_pid)
        backend.send_signal(signal.SIGSTOP)
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(lambda: connection.execute("SELECT 7").fetchone())
            time.sleep(2)
            assert not found.done()
            backend.send_signal(signal.SIGCONT)
            assert found.result(timeout=10) == (7,)
