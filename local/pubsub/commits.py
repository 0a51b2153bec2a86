"""When the journal is committed.

Belongs here: putting changes of several calls into one commit. Does not: what changes.
"""

from __future__ import annotations

import asyncio

from local.pubsub.journal import Journal

#: Seconds before a change that nobody waits for is committed.
_LAZY = 0.05


class Commits:
    """Commits of one journal: one for all changes that are made in the same round of the loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._next: asyncio.Future[None] | None = None
        self._planned = False

    async def made(self) -> None:
        """Return once everything changed so far is committed."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._commit)
        await asyncio.shield(self._next)

    def soon(self) -> None:
        """Commit before long."""
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_later(_LAZY, self._commit_planned)

    def _commit_planned(self) -> None:
        self._planned = False
        self._journal.commit()

    def _commit(self) -> None:
        future, self._next = self._next, None
        try:
            self._journal.commit()
        except Exception as error:  # noqa: BLE001 - those who wait raise it
            if future:
                future.set_exception(error)
            return
        if future:
            future.set_result(None)
