"""Run and writer locks between real sessions and processes."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from landing.batch.locks import hold_locks, run_lock_held
from resources.advisory_locks import Lock, is_held
from tests import processes

pytestmark = pytest.mark.servers("postgres")

RUN = "0b1e7c60-run"


def wait_until(condition: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def end_session(connection: psycopg.Connection[Any], run_id: str) -> int:
    return connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
        (f"quintet run {run_id}",),
    ).rowcount


def sessions(connection: psycopg.Connection[Any], run_id: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = %s",
        (f"quintet run {run_id}",),
    ).fetchall()


def test_locks_are_held_during_the_body_only(
    ledger_url: str, connection: psycopg.Connection[Any]
) -> None:
    wait_until(lambda: not run_lock_held(connection, RUN))
    with hold_locks(ledger_url, RUN, "campaigns"):
        assert run_lock_held(connection, RUN)
        assert is_held(connection, Lock.WRITER, "campaigns")
        assert not run_lock_held(connection, "another run")
        assert not run_lock_held(connection, "campaigns"), "the classes are apart"
    wait_until(lambda: not run_lock_held(connection, RUN))
    wait_until(lambda: not is_held(connection, Lock.WRITER, "campaigns"))


@pytest.mark.parametrize("run_id", ["a", "b", "c", "d", "e", "f"])
def test_negative_and_positive_hashes_are_found(
    ledger_url: str, connection: psycopg.Connection[Any], run_id: str
) -> None:
    with hold_locks(ledger_url, run_id):
        assert run_lock_held(connection, run_id)


def test_a_second_writer_waits_until_the_first_is_done(
    ledger_url: str, connection: psycopg.Connection[Any]
) -> None:
    order: list[str] = []

    def second() -> None:
        with hold_locks(ledger_url, "second", "campaigns"):
            order.append("second writes")

    thread = threading.Thread(target=second)
    with hold_locks(ledger_url, "first", "campaigns"):
        thread.start()
        # It has its run lock already, so that nobody takes it for dead while it waits.
        wait_until(lambda: run_lock_held(connection, "second"))
        time.sleep(0.3)
        order.append("first is done")
    thread.join(10)
    assert order == ["first is done", "second writes"]


def test_waiting_outlasts_many_short_waits(
    ledger_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landing.batch.locks._WAIT_MS", 50)
    got = threading.Event()

    def second() -> None:
        with hold_locks(ledger_url, "second", "campaigns"):
            got.set()

    thread = threading.Thread(target=second)
    with hold_locks(ledger_url, "first", "campaigns"):
        thread.start()
        assert not got.wait(0.5)
    thread.join(10)
    assert got.is_set()


def test_a_killed_process_frees_its_locks(
    ledger_url: str, connection: psycopg.Connection[Any]
) -> None:
    script = (
        "import sys, time\nfrom landing.batch.locks import hold_locks\n"
        "with hold_locks(sys.argv[1], sys.argv[2], 'campaigns'):\n"
        "    time.sleep(600)\n"
    )
    process = processes.start([sys.executable, "-c", script, ledger_url, RUN])
    try:
        wait_until(lambda: is_held(connection, Lock.WRITER, "campaigns"), 30)
        assert run_lock_held(connection, RUN)
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: not run_lock_held(connection, RUN), 5)
        assert not is_held(connection, Lock.WRITER, "campaigns")
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("taken_over", [True, False])
def test_a_stopped_process_loses_its_locks_and_finds_out(
    ledger_url: str, connection: psycopg.Connection[Any], taken_over: bool
) -> None:
    script = (
        "import os, sys, time\nfrom landing.batch.locks import hold_locks\n"
        "def lost(reason):\n"
        "    print(reason, flush=True)\n"
        "    os._exit(7)\n"
        "with hold_locks(sys.argv[1], sys.argv[2], 'campaigns', on_lost=lost,\n"
        "                ping_seconds=0.2, loss_seconds=60, silent_seconds=1.5):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, ledger_url, RUN]
    process = processes.start(command, stdout=processes.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        time.sleep(3)  # longer than it may be silent
        assert run_lock_held(connection, RUN), "its pings keep it"
        process.send_signal(signal.SIGSTOP)
        if taken_over:
            with psycopg.connect(ledger_url, autocommit=True) as other:
                other.execute("SET lock_timeout = '20s'")
                other.execute("SELECT pg_advisory_lock(82, hashtext('campaigns'))")
        wait_until(lambda: not run_lock_held(connection, RUN))
        process.send_signal(signal.SIGCONT)
        # Also when nobody has them by now: it may have been given up all the same.
        assert process.wait(20) == 7
        assert "idle-session timeout" in process.stdout.read()
        assert not run_lock_held(connection, RUN)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_session_that_comes_back_too_late_does_not_take_its_locks_again(
    ledger_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []
    real = psycopg.Connection.connect
    asked = threading.Event()

    def refuse_for_long(*args: Any, **kwargs: Any) -> Any:
        asked.set()
        time.sleep(0.6)
        raise psycopg.OperationalError("connection refused")

    with (
        hold_locks(ledger_url, RUN, on_lost=lost.append, ping_seconds=0.1, loss_seconds=0.5),
        monkeypatch.context() as patch,
    ):
        patch.setattr(psycopg.Connection, "connect", refuse_for_long)
        assert end_session(connection, RUN) == 1
        assert asked.wait(10)
        patch.setattr(psycopg.Connection, "connect", real)
        wait_until(lambda: bool(lost), 5)
        assert not run_lock_held(connection, RUN)
    assert len(lost) == 1


def test_a_broken_connection_is_replaced_with_its_locks(
    ledger_url: str, connection: psycopg.Connection[Any]
) -> None:
    lost: list[str] = []
    with hold_locks(ledger_url, RUN, "campaigns", on_lost=lost.append, ping_seconds=0.1):
        first = sessions(connection, RUN)
        assert len(first) == 1
        assert end_session(connection, RUN) == 1
        wait_until(lambda: sessions(connection, RUN) not in ([], first))
        wait_until(lambda: is_held(connection, Lock.WRITER, "campaigns"))
        assert run_lock_held(connection, RUN)
    assert lost == []
    # The server frees the locks of a closed connection when it notices.
    wait_until(lambda: not run_lock_held(connection, RUN))


def test_who_lost_the_writer_lock_to_another_is_told_at_once(
    ledger_url: str, connection: psycopg.Connection[Any]
) -> None:
    lost: list[str] = []
    with (
        psycopg.connect(ledger_url, autocommit=True) as other,
        hold_locks(ledger_url, RUN, "campaigns", on_lost=lost.append, ping_seconds=0.3),
    ):
        waiting = threading.Thread(
            target=other.execute,
            args=("SELECT pg_advisory_lock(82, hashtext('campaigns'))",),
        )
        waiting.start()
        time.sleep(0.1)
        # The waiting session gets the lock the moment the holder's is gone.
        assert end_session(connection, RUN) == 1
        waiting.join(5)
        wait_until(lambda: bool(lost), 5)
    assert len(lost) == 1
    assert "campaigns" in lost[0]


def test_a_server_that_stays_away_is_reported_once(
    ledger_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise psycopg.OperationalError("connection refused")

    with (
        hold_locks(ledger_url, RUN, on_lost=lost.append, ping_seconds=0.1, loss_seconds=0.5),
        monkeypatch.context() as patch,
    ):
        patch.setattr(psycopg.Connection, "connect", refuse)
        assert end_session(connection, RUN) == 1
        time.sleep(0.3)
        assert lost == [], "a short break is not a loss"
        wait_until(lambda: bool(lost), 5)
        time.sleep(0.4)
    assert len(lost) == 1
    assert "connection refused" in lost[0]
