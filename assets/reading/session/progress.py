"""How a session gets on, read from the rows that it writes every second.

Belongs here: reading them, figures for Dagster, its timeline. Does not: writing them
(``stream/progress.py``), drawing (``charts.py``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from assets.reading.stream.progress import REPORT_COLUMNS, StreamReport

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

#: Points of a timeline; beyond them every other one goes.
MOST_SAMPLES = 600


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a session: seconds since its start, messages accepted until then, latencies."""

    at: float
    accepted: int
    latency_p50: float | None
    latency_p95: float | None


@dataclass(slots=True)
class SessionTimeline:
    """One subscription over a session, in at most MOST_SAMPLES looks."""

    samples: list[Sample] = field(default_factory=list)

    def add(self, at: float, progress: StreamReport) -> None:
        """Keep a look taken ``at`` seconds after the session's start."""
        self.samples.append(
            Sample(at, progress.accepted, progress.latency_p50, progress.latency_p95)
        )
        if len(self.samples) > MOST_SAMPLES:
            # Counts only grow, so that what is left out is in the next look.
            del self.samples[1:-1:2]

    def per_minute(self) -> list[tuple[float, float]]:
        """Seconds since the start, and messages per minute since the look before."""
        return [
            (later.at, 60 * (later.accepted - earlier.accepted) / (later.at - earlier.at))
            for earlier, later in zip(self.samples, self.samples[1:], strict=False)
            if later.at > earlier.at
        ]

    def last_minute(self) -> float:
        """Messages per minute over the last minute, or since the start when that was later."""
        if not self.samples:
            return 0.0
        last = self.samples[-1]
        first = next(one for one in self.samples if one.at >= last.at - 60)
        if first is last:
            return 0.0
        return 60 * (last.accepted - first.accepted) / (last.at - first.at)


def progress(conn: Connection, session_id: str) -> dict[str, StreamReport]:
    """The session's counts by subscription; empty before it wrote any."""
    rows = conn.execute(
        f"SELECT {REPORT_COLUMNS} FROM reading.session_stream WHERE session_id = %s",
        (session_id,),
    ).fetchall()
    return {row[0]: StreamReport(*row) for row in rows}


def figures(one: StreamReport, timeline: SessionTimeline) -> dict[str, Any]:
    """Numbers that the UI plots."""
    counts = {name: value for name, value in asdict(one).items() if isinstance(value, int)}
    timings = {
        "lag_seconds": one.lag,
        "latency_p50_seconds": one.latency_p50,
        "latency_p95_seconds": one.latency_p95,
    }
    return {
        **counts,
        "pending": one.pending,
        "duplicates": one.duplicates,
        "messages_per_minute": round(timeline.last_minute(), 1),
        **{name: round(value, 3) for name, value in timings.items() if value is not None},
    }
