"""What becomes of a question that was asked: found, missing, or failed and due again.

Belongs here: the states and their waits, as pure functions. Does not: asking (``asking.py``) and
storing (``songs.py``, ``genres.py``).

A question is ``pending`` until it is asked. ``found`` and ``missing`` are the service's own word
and final, until the names that were asked for change. ``failed`` says only that nothing is known:
it stays so for ever if need be, always with the time of its next attempt, and never becomes missing
without the service saying so.
A question that can't be asked (a song without title or artist) is pending with the reason as its
error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from resources.polite_http import Answer, Failed, Found, Missing

Status = Literal["pending", "found", "missing", "failed"]

#: Waits after the first, second and every further failed attempt.
BACKOFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
#: Wait of a question that was not put because the service answered nobody.
UNASKED = timedelta(minutes=10)
_ERROR_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class State:
    """A question's row: ``attempts`` counts rounds of asking, each with retries of its own."""

    status: Status
    attempts: int
    text: str | None = None
    error: str | None = None
    next_attempt_at: datetime | None = None


def after(attempts: int, answer: Answer | None, now: datetime) -> State:
    """The state of a question asked ``attempts`` times before, after one more ``answer``.

    None for a question that was due and not put, for the service was given up for this run.
    """
    if isinstance(answer, Found):
        return State("found", attempts + 1, text=answer.text)
    if isinstance(answer, Missing):
        return State("missing", attempts + 1, error=answer.reason or None)
    if answer is None:
        error = "not asked: the service does not answer"
        return State("failed", attempts, error=error, next_attempt_at=now + UNASKED)
    error = answer.reason[:_ERROR_CHARACTERS].replace("\x00", "")
    return State("failed", attempts + 1, error=error, next_attempt_at=now + wait(attempts, answer))


def wait(attempts: int, failed: Failed) -> timedelta:
    """How long until the next attempt: the backoff, or longer where the service asks for it."""
    backoff = BACKOFF[min(attempts, len(BACKOFF) - 1)]
    asked = timedelta(seconds=min(failed.retry_after, BACKOFF[-1].total_seconds()))
    return max(backoff, asked)


@dataclass(frozen=True, slots=True)
class Tally:
    """How one run's questions ended; ``unasked`` of the failed were not put at all.

    ``calls`` are requests, retries included.
    """

    found: int = 0
    missing: int = 0
    failed: int = 0
    unasked: int = 0
    calls: int = 0
    seconds: float = 0.0

    @property
    def asked(self) -> int:
        """Questions that were put."""
        return self.found + self.missing + self.failed - self.unasked

    def with_state(self, state: State, *, asked: bool) -> Tally:
        """One more question that ended so."""
        return replace(
            self,
            found=self.found + (state.status == "found"),
            missing=self.missing + (state.status == "missing"),
            failed=self.failed + (state.status == "failed"),
            unasked=self.unasked + (not asked),
        )
