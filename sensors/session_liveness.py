"""Which sessions are alive, and whether the next one has to be asked for: the decision alone.

Belongs here: what follows from what is seen of sessions. Does not: seeing it (``session.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

#: Seconds before a session's time is up at which the next one is asked for: it waits in the queue,
#: and is launched in the second in which the other ends.
HANDOVER_SECONDS = 10.0

#: Seconds that a session must be without its lock and without a word, over two ticks at least. The
#: lock is away for as long when Postgres restarts, but then the session's row is written again.
DEAD_SECONDS = 4.0
#: Seconds without a look, as when Postgres was away, after which what was seen before says nothing.
BLIND_SECONDS = 12.0
#: Seconds from a run's start until it must have its lock.
START_SECONDS = 30.0
#: Seconds after which a session without a lock has ended, whatever its row says.
LOST_SECONDS = 30.0

#: A session that ended in failure within so many seconds failed at once.
SHORT_SECONDS = 60.0
#: So many of these in a row are told to people: it does not pass by itself.
TOLD_FAILURES = 3
#: Seconds of pause from the second such failure in a row on, doubled with each, and at most.
PAUSE_SECONDS, MOST_PAUSE_SECONDS = 10.0, 300.0


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session that has not ended by its own account. ``silent``: seconds since its last word."""

    session_id: str
    state: Literal["serving", "draining"]
    silent: float
    locked: bool


@dataclass(frozen=True, slots=True)
class SessionRun:
    """A session's run that has not ended in Dagster's eyes.

    Seconds: ``age`` since its start, ``left`` until its time is up.
    """

    run_id: str
    status: Literal["waiting", "running", "canceling"]
    locked: bool
    age: float
    row: SessionRow | None
    left: float = math.inf

    @property
    def leaving(self) -> bool:
        """Whether it only drains what it has in hand, or soon will."""
        draining = self.row is not None and self.row.state == "draining"
        return self.status == "canceling" or draining or self.left <= HANDOVER_SECONDS

    @property
    def missed(self) -> bool:
        """Whether it gives no sign of life that it ought to give."""
        if self.status == "waiting" or self.locked:
            return False
        if self.row is None:
            return self.age >= START_SECONDS
        return self.row.silent >= DEAD_SECONDS

    def heard_within(self, seconds: float) -> bool:
        """Whether its row was written in the last ``seconds``."""
        return self.row is not None and self.row.silent < seconds


@dataclass(frozen=True, slots=True)
class Ended:
    """A session's run that has ended. Seconds: of life, and since its end."""

    failed: bool
    lifetime: float
    ago: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a tick saw, for the next one: since when each run gives no sign of life. Seconds."""

    at: float = float("-inf")
    missing_since: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a tick does: runs to report dead, whether to ask for a session, and why.

    ``failures`` counts the last sessions that failed at once, one after another.
    """

    dead: tuple[str, ...]
    request: bool
    message: str
    seen: Seen
    failures: int = 0


def decide(
    runs: Sequence[SessionRun],
    strays: Sequence[str],
    before: Seen,
    ended: Sequence[Ended],
    now: float,
) -> Decision:
    """What to do about these runs. ``strays`` are sessions that live without a run of Dagster's.

    ``ended`` has the runs that have ended, the last one first; ``now`` is on the clock of
    ``before``, in seconds. Pure.
    """
    passed = now - before.at
    known = before.missing_since if passed < BLIND_SECONDS else {}
    # One that has spoken since the last look is newly missing: two outages in quick succession made
    # a living session silent at both looks, and it was reported dead.
    missing = {
        run.run_id: now if run.heard_within(passed) else known.get(run.run_id, now)
        for run in runs
        if run.missed
    }
    dead = tuple(run_id for run_id, since in missing.items() if now - since >= DEAD_SECONDS)
    still = {run_id: since for run_id, since in missing.items() if run_id not in dead}
    alive = [run for run in runs if run.run_id not in dead]
    died = [Ended(failed=True, lifetime=run.age, ago=0.0) for run in runs if run.run_id in dead]
    failures = _failures([*died, *ended])
    reason = _kept_by(alive, strays, still) or _paused([*died, *ended], failures)
    asked = "a session is requested" + (f": {', '.join(dead)} died" if dead else "")
    return Decision(dead, reason is None, reason or asked, Seen(now, still), failures)


def is_lost(row: SessionRow, *, ended: bool) -> bool:
    """Whether a session has died without saying so; ``ended``: Dagster knows that its run has.

    A code server that lives reports its dead run before anybody else sees that it died. Pure.
    """
    return not row.locked and row.silent >= (DEAD_SECONDS if ended else LOST_SECONDS)


def _kept_by(
    alive: Sequence[SessionRun], strays: Sequence[str], missing: Mapping[str, float]
) -> str | None:
    """Which session there is already, or None when the next one is needed."""
    for run in alive:
        if run.status == "waiting":
            return f"run {run.run_id} waits for its start"
        if run.run_id in missing:
            return f"run {run.run_id} gives no sign of life: looking again"
        if not run.leaving:
            return f"run {run.run_id} serves"
    if strays:
        return f"session {strays[0]} serves, though Dagster knows no such run as going on"
    return None


def _failures(ended: Sequence[Ended]) -> int:
    """How many of the last ones, one after another, failed at once."""
    failures = 0
    for one in ended:
        if not one.failed or one.lifetime >= SHORT_SECONDS:
            break
        failures += 1
    return failures


def _paused(ended: Sequence[Ended], failures: int) -> str | None:
    """Why the next session has to wait, or None."""
    if failures < 2:  # noqa: PLR2004  the first one is not held against the next
        return None
    pause = min(PAUSE_SECONDS * 2 ** (failures - 2), MOST_PAUSE_SECONDS)
    if ended[0].ago >= pause:
        return None
    return (
        f"{failures} sessions in a row failed at once: the next in {pause - ended[0].ago:.0f} s. "
        "See the last run's error."
    )
