"""Connections to Postgres that notice a server that is frozen or gone.

Belongs here: noticing that. Does not: how to connect (``postgres.py``).
Imported lazily: needs psycopg.

libpq reads without a limit, and the kernel of a machine whose processes are stopped goes on
answering for them: neither keepalives nor ``tcp_user_timeout`` notice. A statement may be silent
for as long as it works, or waits for a lock. So a silent server is asked for another connection:
one that cannot give any does not work on the statement either.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg  # noqa: TID253
from psycopg.abc import PQGen  # noqa: TID253
from psycopg_pool import ConnectionPool

_Result = TypeVar("_Result")

#: Seconds without a word after which the server is asked, and how long it has to answer. Together
#: below the 60 s after which Dagster cuts a sensor tick.
SILENT_SECONDS = 30.0
ANSWER_SECONDS = 10
#: Seconds for which a connection that was given out is believed to work.
BELIEVED_SECONDS = 1.0


class _Watched:
    """Statements raise psycopg.OperationalError once the server is frozen."""

    #: Where the server is asked; without it, it is not.
    url: str | None = None
    silent_seconds: float = SILENT_SECONDS
    answer_seconds: int = ANSWER_SECONDS
    pgconn: psycopg.pq.abc.PGconn

    def _watched(self, gen: PQGen[_Result]) -> PQGen[_Result]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready:
                    heard = time.monotonic()
                elif self.url and time.monotonic() - heard > self.silent_seconds:
                    self._require_answer(self.url)
                    heard = time.monotonic()
                wanted = gen.send(ready)
        except StopIteration as end:
            result: _Result = end.value
            return result

    def _require_answer(self, url: str) -> None:
        try:
            psycopg.connect(url, connect_timeout=self.answer_seconds).close()
        except psycopg.errors.ConnectionTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError(
                f"Postgres has been silent for {self.silent_seconds:g} s and takes no connection "
                f"within {self.answer_seconds} s: it is taken for frozen"
            ) from error
        except psycopg.OperationalError:
            # It said so itself (too many connections, shutting down), or its kernel did: then the
            # statement will be told, too.
            return


class WatchedConnection(_Watched, psycopg.Connection[tuple[Any, ...]]):
    """As psycopg's; see the module."""

    def wait(
        self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None
    ) -> _Result:
        """See psycopg.Connection: all that waits for the server comes by here."""
        return super().wait(self._watched(gen), interval, timeout)


class PooledConnection(psycopg.Connection[tuple[Any, ...]]):
    """Of a pool, which gives out only those that work."""

    _used_at = float("-inf")

    def require_working(self) -> None:
        """Raises psycopg.OperationalError unless the server answers on it.

        One that was given out a moment ago is not asked: that is as long as most questions take.
        """
        now = time.monotonic()
        if now - self._used_at > BELIEVED_SECONDS:
            ConnectionPool.check_connection(self)
        self._used_at = now


class WatchedAsyncConnection(_Watched, psycopg.AsyncConnection[tuple[Any, ...]]):
    """As psycopg's; a silent server is asked while the event loop waits, for seconds at most."""

    async def wait(
        self,
        gen: PQGen[_Result],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - the base's
    ) -> _Result:
        """See psycopg.AsyncConnection."""
        return await super().wait(self._watched(gen), interval, timeout)
