"""When requests may be sent at all: one first, then all, and one at a time while all fail.

Belongs here: the canary and the circuit breaker of one worker. Does not: limits a minute
(``rate``), the retries of one prompt (``engine``).

With an open gate a wrong key cost as many requests as there were slots; without a breaker a
server that was away was asked nine times for every prompt.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

FIRST_PAUSE = 0.5


class NobodyAnsweredError(Exception):
    """The server was tried as long as patience lasts."""


class Gate:
    """Closed until a request is answered, and again after ``breaker`` failures in a row."""

    def __init__(self, *, breaker: int, patience: float, longest_pause: float) -> None:
        self._breaker, self._patience = breaker, patience
        self._longest_pause = longest_pause
        self._open = False
        self._probing = False
        self._failures = 0
        self._pause = 0.0
        self._not_before = 0.0
        self._closed_at = time.monotonic()
        self._waited = 0.0
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def is_open(self) -> bool:
        """Whether requests may be sent side by side."""
        return self._open

    async def enter(self) -> bool:
        """Return when a request may be sent, and whether it is a probe, alone.

        What entered must tell what came of it, with that. Raises NobodyAnsweredError.
        """
        while not (self._open or self._ended):
            self._changed.clear()
            if self._probing:
                await self._changed.wait()
                continue
            self._give_up()
            if (left := self._not_before - time.monotonic()) > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left)
                continue
            self._probing = True
            return True
        return False

    def answered(self, *, probe: bool) -> None:
        """The server works: all may go."""
        self._open, self._failures, self._pause = True, 0, 0.0
        self._end(probe=probe)

    def unsent(self, *, probe: bool) -> None:
        """What entered was not sent after all, or says nothing about the server."""
        self._end(probe=probe)

    def failed(self, retry_after: float | None, *, probe: bool) -> None:
        """A request failed in a way that may pass."""
        self._failures += 1
        if self._open and self._failures >= self._breaker:
            self._open = False
            self._closed_at, self._waited = time.monotonic(), 0.0
            self._pause_now(None)
        elif probe:
            self._pause_now(retry_after)
        self._end(probe=probe)

    def end(self) -> None:
        """Nothing more will be sent: nobody waits any longer."""
        self._ended = True
        self._changed.set()

    def _end(self, *, probe: bool) -> None:
        self._probing = self._probing and not probe
        self._changed.set()

    def _pause_now(self, retry_after: float | None) -> None:
        self._pause = min(self._longest_pause, 2 * self._pause or FIRST_PAUSE)
        pause = max(self._pause, retry_after or 0.0)
        # The waits that the server asks for don't use up the patience with it.
        self._waited += retry_after or 0.0
        self._not_before = time.monotonic() + pause

    def _give_up(self) -> None:
        if time.monotonic() - self._closed_at - self._waited > self._patience:
            raise NobodyAnsweredError(f"no answer in {self._patience:.0f} s")
