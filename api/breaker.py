"""When a system counts as away: pure, of what was seen of it.

Belongs here: one system's state. Does not: asking it (``stores.py``).

A call that fails or is slow says little: the fault may be the question's. So it makes the service
look whether the system is there, and only what that look says opens or closes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

#: Seconds between looks at a system that is away, each twice the one before.
FIRST_LOOK = 0.5
LAST_LOOK = 8.0


@dataclass(slots=True)
class Breaker:
    """Open while the system is away: nobody waits for it then.

    Times are seconds of one clock that does not go back.
    """

    away_since: float | None = None
    next_look: float = 0.0
    reason: str = ""
    _pause: float = field(default=FIRST_LOOK)

    @property
    def open(self) -> bool:
        """Whether it is away."""
        return self.away_since is not None

    def seen_away(self, now: float, reason: str) -> None:
        """A look found nobody there."""
        if self.away_since is None:
            self.away_since, self._pause = now, FIRST_LOOK
        else:
            self._pause = min(2 * self._pause, LAST_LOOK)
        self.reason, self.next_look = reason, now + self._pause

    def seen_there(self) -> bool:
        """A look was answered; whether it was away before."""
        was_away = self.open
        self.away_since, self.reason, self.next_look = None, "", 0.0
        return was_away

    def look_due(self, now: float) -> bool:
        """Whether a system that is away is to be looked at."""
        return self.open and now >= self.next_look

    def retry_after(self, now: float) -> int:
        """Whole seconds after which asking again makes sense: after the next look."""
        return max(1, int(self.next_look - now) + 1)
