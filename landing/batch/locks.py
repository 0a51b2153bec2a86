"""Advisory locks of runs: who is alive, and who may write.

Belongs here: having the run lock and the writer lock, and keeping them. Does not: their keys
(``resources/advisory_locks.py``), or what a run does once it has them.

They are session locks: the server frees them when the process dies, however it dies, which no row
in a table would do.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from resources.advisory_locks import Lock, is_held, take, try_to_take

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Seconds between two signs of life on the connection that holds the locks.
PING_SECONDS = 5.0

#: Seconds without the locks after which the run has to stop: the ledger may give it up then.
LOSS_SECONDS = 30.0

#: Seconds without a sign of life after which the server ends the session, and frees its locks. A
#: process that was stopped, or whose machine was, keeps its connection open as long as it likes.
SILENT_SECONDS = 60.0

#: Seconds without a word from the server after which it is asked for another connection, and how
#: long it has for that: in sum well below what may pass without the locks.
_UNHEARD_SECONDS = 10.0
_ANSWER_SECONDS = 5

#: How long one attempt to get a lock waits on the server, in milliseconds. Short, so that a
#: connection that broke while waiting is noticed.
_WAIT_MS = 5_000

#: A client that vanished without closing its connection must not hold its locks for hours.
_SESSION_OPTIONS = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"

log = logging.getLogger(__name__)


def run_lock_held(connection: Connection, run_id: str) -> bool:
    """Whether a living session holds the run lock of ``run_id``, in this database."""
    return is_held(connection, Lock.RUN, run_id)


@contextmanager
def hold_locks(
    url: str,
    run_id: str,
    writer: str | None = None,
    *,
    on_lost: Callable[[str], None] = lambda _reason: None,
    ping_seconds: float = PING_SECONDS,
    loss_seconds: float = LOSS_SECONDS,
    silent_seconds: float = SILENT_SECONDS,
) -> Iterator[None]:
    """Hold the run lock of ``run_id`` and then the lock of ``writer`` while the body runs.

    Waits for both without a limit, on a connection of its own to ``url`` (bare ``postgresql://``).
    A thread keeps that connection alive, and makes a new one that takes the locks again when it
    breaks. ``on_lost`` is called once, from that thread, with the reason, when the locks could not
    be had again for ``loss_seconds``, or as soon as another session has one of them. The server
    frees them after ``silent_seconds`` without a sign of life: a process that was stopped for so
    long is told when it goes on, and does not take them again.

    Raises psycopg.OperationalError when the server cannot be reached at the start.
    """
    keeper = _Keeper(
        url,
        run_id,
        writer,
        on_lost=on_lost,
        ping_seconds=ping_seconds,
        loss_seconds=loss_seconds,
        silent_seconds=silent_seconds,
    )
    keeper.start()
    try:
        yield
    finally:
        keeper.stop()


class _Keeper:
    def __init__(
        self,
        url: str,
        run_id: str,
        writer: str | None,
        *,
        on_lost: Callable[[str], None],
        ping_seconds: float,
        loss_seconds: float,
        silent_seconds: float,
    ) -> None:
        self._url = url
        self._run_id = run_id
        self._locks = [(Lock.RUN, run_id)] + ([(Lock.WRITER, writer)] if writer else [])
        self._on_lost = on_lost
        self._ping_seconds = ping_seconds
        self._loss_seconds = loss_seconds
        self._silent_seconds = silent_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_alive, name=f"run lock {run_id}", daemon=True
        )
        self._connection: Connection | None = None
        self._backend = 0

    def start(self) -> None:
        self._connection = self._connect()
        try:
            for lock, name in self._locks:
                self._wait_for(self._connection, lock, name)
        except BaseException:
            self._connection.close()
            raise
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _connect(self) -> Connection:
        from resources.postgres_connection import WatchedConnection

        silent = round(self._silent_seconds * 1_000)
        connection = WatchedConnection.connect(
            self._url,
            autocommit=True,
            connect_timeout=_ANSWER_SECONDS,
            application_name=f"quintet run {self._run_id}",
            options=f"{_SESSION_OPTIONS} -c idle_session_timeout={silent}",
            keepalives_idle=5,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=10_000,
        )
        connection.url = self._url
        connection.silent_seconds, connection.answer_seconds = _UNHEARD_SECONDS, _ANSWER_SECONDS
        self._backend = connection.info.backend_pid
        return connection

    def _wait_for(self, connection: Connection, lock: Lock, name: str) -> None:
        from psycopg.errors import LockNotAvailable

        connection.execute("SELECT set_config('lock_timeout', %s, false)", (str(_WAIT_MS),))
        waiting_since = time.monotonic()
        while True:
            try:
                take(connection, lock, name)
            except LockNotAvailable:
                waited = round(time.monotonic() - waiting_since)
                log.info("waiting for lock=%s name=%s seconds=%s", lock.name, name, waited)
            else:
                return

    def _keep_alive(self) -> None:
        import psycopg

        held_at, problem = time.monotonic(), ""
        while not self._stopping.wait(self._ping_seconds):
            away = time.monotonic() - held_at
            try:
                # Whoever was away for longer has been given up: it must not come back.
                if self._connection is None and away >= self._loss_seconds:
                    self._on_lost(f"the locks were away for {away:.0f} s: {problem}")
                    return
                taken = self._ping_or_retake()
            except (psycopg.Error, OSError) as error:
                self._disconnect()
                problem = str(error)
                if _ended_for_silence(error) or away >= self._loss_seconds:
                    self._on_lost(f"no connection to Postgres to hold the locks: {error}")
                    return
                log.warning("lost the connection of run_id=%s, error=%s", self._run_id, error)
                continue
            if taken is not None:
                self._on_lost(f"another session has the lock {taken!r} now")
                return
            held_at = time.monotonic()

    def _ping_or_retake(self) -> str | None:
        """None when the locks are held; else the name of one that somebody else holds."""
        if self._connection is not None:
            self._connection.execute("SELECT 1")
            return None
        ghost = self._backend
        connection = self._connect()
        try:
            self._end_ghost(connection, ghost)
            for lock, name in self._locks:
                if not try_to_take(connection, lock, name):
                    connection.close()
                    return name
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        log.info("holds the locks again, run_id=%s", self._run_id)
        return None

    def _end_ghost(self, connection: Connection, backend: int) -> None:
        """End our former session if the server has not noticed yet that it is gone."""
        connection.execute(
            """
            SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
            WHERE pid = %s AND application_name = left(%s, 63)
            """,
            (backend, f"quintet run {self._run_id}"),
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None


def _ended_for_silence(error: Exception) -> bool:
    """Whether the server ended the session because nothing was heard: the process stood still."""
    from psycopg.errors import IdleSessionTimeout

    return isinstance(error, IdleSessionTimeout) or "idle-session timeout" in str(error)
