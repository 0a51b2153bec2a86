"""Writing what came of requests, many in one transaction.

Belongs here: the queue, the group commit, surviving a connection that breaks. Does not: what is
written (``settlement``, ``statements``).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from assets.domains.asking import statements
from assets.domains.asking.settlement import Settlement, as_json

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

    AsyncConnection = psycopg.AsyncConnection[Any]

#: Settlements in a transaction, and seconds between two: each costs about as much CPU as a call,
#: and each holds its slots for so long.
MOST = 500
PAUSE = 0.003
#: Seconds for which answers wait in memory for a database that is away.
PATIENCE = 60.0

_Waiting = tuple[Settlement, "asyncio.Future[None]"]


class Writer:
    """Settles what it is given, in one task and on a connection of its own."""

    def __init__(self, postgres: PostgresResource, owner: str, budget: str) -> None:
        self._postgres, self._owner, self._budget = postgres, owner, budget
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._conn: AsyncConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self.transactions = 0

    async def start(self) -> None:
        """Connect. Raises psycopg.OperationalError."""
        self._conn = await self._postgres.connect_async()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is settled by now is awaited by those who gave it."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._conn is not None:
            await self._conn.close()

    async def settle(self, settlement: Settlement) -> None:
        """Return when it is committed. Raises psycopg.Error when it can't be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((settlement, done))
        await done

    async def _run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(PAUSE)
            while not self._queue.empty() and len(batch) < MOST:
                batch.append(self._queue.get_nowait())
            await self._commit(batch)

    async def _commit(self, batch: list[_Waiting]) -> None:
        import psycopg

        try:
            await self._persist(as_json(settlement for settlement, _ in batch))
        except psycopg.Error as error:
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
            return
        self.transactions += 1
        for _, done in batch:
            if not done.done():
                done.set_result(None)

    async def _persist(self, results: str) -> None:
        import psycopg

        parameters = {"results": results, "owner": self._owner, "budget": self._budget}
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if self._conn is None or self._conn.closed:
                    self._conn = await self._postgres.connect_async()
                await self._conn.execute(statements.SETTLE, parameters)
            except psycopg.OperationalError:
                if time.monotonic() > end:
                    raise
                if self._conn is not None:
                    await self._conn.close()
                await asyncio.sleep(1.0)
            else:
                return
