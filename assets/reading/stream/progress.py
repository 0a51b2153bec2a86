"""What a session has done so far: counts, lag, latency, and its rows in Postgres.

Belongs here: keeping and writing them. Does not: reading them (``session/progress.py``).

Every delivery that was received is one of: accepted (the first of a message whose event is in
BigQuery now), redelivered (of a message that the session has dealt with, or has in hand), rejected,
released (given back), or pending.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import psycopg

#: Seconds over which latencies are taken together.
LATENCY_SECONDS = 60.0
#: Latencies that are kept of one micro-batch, evenly among its messages.
LATENCY_SAMPLES = 200

State = Literal["serving", "draining", "ended", "failed"]


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What a session did with the deliveries of one subscription, so far.

    ``written``: rows that were new; ``lag``: age of the oldest message in hand; latencies: from
    publish to merged, over the last minute. All in seconds; None before there was any. ``waiting``
    says which step is being repeated, since when and why, if one is.
    """

    subscription: str
    received: int
    redelivered: int
    accepted: int
    rejected: int
    released: int
    written: int
    micro_batches: int
    lag: float | None
    latency_p50: float | None
    latency_p95: float | None
    waiting: str | None = None

    @property
    def pending(self) -> int:
        """Deliveries of which nothing has become yet: 0 of a session that has ended, or it lies."""
        return self.received - self.accepted - self.redelivered - self.rejected - self.released

    @property
    def duplicates(self) -> int:
        """Accepted messages whose row was there already: the same event, sent or taken before."""
        return self.accepted - self.written


#: The columns of reading.session_stream that a StreamReport is read from, in its order.
REPORT_COLUMNS = ", ".join(field.name for field in fields(StreamReport))
_WRITTEN = ("session_id", "pending", *(field.name for field in fields(StreamReport)))
_WRITE_STREAM = f"""
INSERT INTO reading.session_stream ({", ".join(_WRITTEN)})
VALUES ({", ".join(f"%({name})s" for name in _WRITTEN)})
ON CONFLICT (session_id, subscription) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _WRITTEN)}
"""


@dataclass(frozen=True, slots=True)
class SessionReport:
    """A session as a whole."""

    session_id: str
    seconds: float
    streams: tuple[StreamReport, ...]


class StreamCounts:
    """The counts of one subscription as they rise. Several threads may use it."""

    def __init__(self, subscription: str) -> None:
        self._subscription = subscription
        self._lock = Lock()
        self._counts = dict.fromkeys(
            ("redelivered", "accepted", "rejected", "released", "written", "micro_batches"), 0
        )
        self._latencies: deque[tuple[float, list[float]]] = deque()
        self._oldest: datetime | None = None

    def add(self, **counts: int) -> None:
        """Add to the named counts, all at once."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def in_hand(self, oldest: datetime | None) -> None:
        """Say when the oldest message that is being written was published; None: there is none."""
        with self._lock:
            self._oldest = oldest

    def merged(self, published: Sequence[datetime]) -> None:
        """Take the latencies of messages that have just become rows."""
        now, clock = datetime.now(UTC), time.monotonic()
        step = max(len(published) // LATENCY_SAMPLES, 1)
        latencies = [(now - one).total_seconds() for one in published[::step]]
        with self._lock:
            self._latencies.append((clock, latencies))
            while self._latencies[0][0] < clock - LATENCY_SECONDS:
                self._latencies.popleft()

    def report(self, received: Callable[[], int], waiting: str | None = None) -> StreamReport:
        """The counts now; ``received`` is asked after them, so that none is pending less than 0."""
        with self._lock:
            clock = time.monotonic()
            latencies = sorted(
                one
                for at, of_batch in self._latencies
                if at >= clock - LATENCY_SECONDS
                for one in of_batch
            )
            lag = (datetime.now(UTC) - self._oldest).total_seconds() if self._oldest else None
            counts = dict(self._counts)
            return StreamReport(
                subscription=self._subscription,
                received=received(),
                lag=lag,
                latency_p50=percentile(latencies, 0.50),
                latency_p95=percentile(latencies, 0.95),
                waiting=waiting.replace("\0", "") if waiting else None,
                **counts,
            )


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of ordered values; None of none."""
    if not ordered:
        return None
    rank = -(-round(share * 1000) * len(ordered) // 1000)
    return ordered[max(rank, 1) - 1]


def write_session(
    conn: psycopg.Connection[Any],
    session_id: str,
    state: State,
    streams: Sequence[StreamReport],
    error: str | None = None,
) -> None:
    """Write the session's rows as they are now, in one transaction. Raises psycopg.Error."""
    with conn.transaction(), conn.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO reading.session AS s (session_id, state, started_at, updated_at)
            VALUES (%(id)s, %(state)s, clock_timestamp(), clock_timestamp())
            ON CONFLICT (session_id) DO UPDATE SET
                state = excluded.state, updated_at = excluded.updated_at, error = %(error)s,
                ended_at = CASE WHEN excluded.state IN ('ended', 'failed')
                    THEN excluded.updated_at END
            """,
            {"id": session_id, "state": state, "error": error},
        )
        cursor.executemany(
            _WRITE_STREAM,
            [{"session_id": session_id, "pending": one.pending, **asdict(one)} for one in streams],
        )
