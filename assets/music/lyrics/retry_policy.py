"""When a question is asked again: missing is final, failed is due after a wait, found by its age.

Belongs here: the states of a question, their waits, the bounds of one run's asking; pure functions.
Does not: asking (``enrichment.py``), storing (``songs.py``, ``genres.py``), the job that asks again
(``retry_job.py``), attempts within one call (``resources/polite_http.py``).

A question is ``pending`` until it is asked. ``found`` and ``missing`` are the service's own word
and final, until the names that were asked for change; lyrics that were found are asked for again
once they are as old as the service's setting says, and stay until there is an answer. ``failed``
says only that nothing is known: it stays so for ever if need be, always with the time of its next
attempt, and never becomes missing without the service saying so.
A question that can't be asked (a song without title or artist) is pending with the reason as its
error.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from assets.music.registry.lyrics import Status
from resources.polite_http import Answer, Failed, Found, Missing

#: Waits after the first, second and every further failed attempt.
BACKOFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
#: Wait of a question that was not put because the service answered nobody.
UNASKED = timedelta(minutes=10)
#: Failures in a row after which a service is given up for the run.
PATIENCE = 24
#: Songs, and artists, asked for in one run; what is more stays due for the schedule.
MAX_PER_RUN = 2_000
#: Of which at most so many are songs whose lyrics are old.
MAX_AGED_PER_RUN = 200
#: Seconds that a run asks for lyrics, and for genres: gold waits for it.
LYRICS_SECONDS = 300.0
GENRES_SECONDS = 120.0
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
