"""Attempts at a step of the stream until one succeeds: trouble that passes is waited out.

Belongs here: the attempts. Does not: which errors pass (``landing/batch/failures.py``), what is
attempted (``writing.py``, ``serving.py``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from landing.batch.failures import classify

T = TypeVar("T")

#: Seconds between two attempts, at first and at most.
FIRST_WAIT, LONGEST_WAIT = 0.25, 5.0
#: Seconds between two words about the same trouble.
SAY_SECONDS = 10.0
#: Characters that are said of it.
WAITING = 500


class Abandoned(Exception):
    """The session ends and does not wait any longer for the trouble to pass."""


class RetryBudget:
    """Attempts until one succeeds, or ``abandoned`` is set.

    ``about`` names in the log whose trouble it is.
    """

    def __init__(
        self, abandoned: threading.Event, log: logging.Logger, about: Mapping[str, str]
    ) -> None:
        self._abandoned = abandoned
        self._log = log
        self._about = " ".join(f"{name}={value}" for name, value in about.items())
        #: The step that has to be repeated now, since when, and why; None while all is well.
        self.waiting: str | None = None

    def until_done(
        self, what: str, attempt: Callable[[], T], start_over: Callable[[], None] = lambda: None
    ) -> T:
        """The result of the first attempt that succeeds.

        ``start_over`` is called after each that does not. Raises Abandoned, and what no further
        attempt would change.
        """
        wait, said_at, began = FIRST_WAIT, float("-inf"), time.monotonic()
        since = datetime.now(UTC)
        while True:
            try:
                result = attempt()
            except Exception as error:
                start_over()
                if classify(error) == "permanent":
                    raise
                self.waiting = f"{what} since {since:%Y-%m-%dT%H:%M:%SZ}: {error}"[:WAITING]
                now = time.monotonic()
                if now - said_at >= SAY_SECONDS:
                    said_at = now
                    self._log.warning(
                        "waiting_for step=%s %s seconds=%d error=%s",
                        what,
                        self._about,
                        now - began,
                        str(error)[:300],
                    )
                if self._abandoned.wait(wait):
                    raise Abandoned(f"{what} did not succeed before the session ended") from error
            else:
                self.waiting = None
                if said_at > 0:
                    self._log.info(
                        "passed step=%s %s seconds=%d", what, self._about, time.monotonic() - began
                    )
                return result
            wait = min(2 * wait, LONGEST_WAIT)
