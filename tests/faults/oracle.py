"""What every sink of campaigns must hold, recounted from the input files in plain Python.

Belongs here: the rules of seeds and design, said once more. Does not: any code under test, nor any
library that it uses.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

HEADER = "record_id,user_id,message,campaign,timestamp\n"

#: record_id, user_id, message, campaign, timestamp, as the file has them.
Row = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Event:
    record_id: str
    user_id: str
    message: str | None
    campaign: str | None
    timestamp: datetime

    @classmethod
    def of(cls, row: Sequence[str]) -> Event:
        record_id, user_id, message, campaign, timestamp = row
        return cls(
            record_id,
            user_id,
            message or None,
            campaign or None,
            datetime.fromisoformat(timestamp).replace(tzinfo=UTC),
        )


@dataclass(frozen=True)
class EndState:
    """The sinks' contents. Lists are sorted and keep doubles; times are in UTC."""

    records: list[tuple[str, str, str | None, datetime]]
    documents: list[tuple[str, str, str | None, str | None, datetime]]
    vectors: list[tuple[str, str]]
    profiles: list[tuple[str, int]]
    users: list[str]
    campaigns: list[str]
    events: list[tuple[str, datetime]]
    performed: list[tuple[str, str]]
    part_of: list[tuple[str, str]]
    participated_in: list[tuple[str, str, int, datetime, datetime]]
    targeted_by: list[tuple[str, str, datetime]]
    rows: list[tuple[str, str, str | None, str | None, datetime]]

    def counts(self) -> dict[str, int]:
        return {name: len(value) for name, value in vars(self).items()}


@dataclass
class Oracle:
    """The current event of every record, after the objects taken so far."""

    current: dict[str, Event] = field(default_factory=dict)

    def take(self, rows: Iterable[Sequence[str]]) -> tuple[int, int]:
        """One more object, which arrived after all before: written and unchanged rows.

        In the object the latest row of a record counts, the later line on a tie; against what
        is current, whatever it says. Rows that lose in their own object are rejected and not
        counted here.
        """
        latest: dict[str, Event] = {}
        for event in map(Event.of, rows):
            known = latest.get(event.record_id)
            if known is None or event.timestamp >= known.timestamp:
                latest[event.record_id] = event
        unchanged = sum(self.current.get(key) == event for key, event in latest.items())
        self.current |= latest
        return len(latest) - unchanged, unchanged

    def end_state(self) -> EndState:
        events = list(self.current.values())
        full = sorted(
            ((e.record_id, e.user_id, e.message, e.campaign, e.timestamp) for e in events),
            key=lambda row: row[0],
        )
        pairs: dict[tuple[str, str], list[datetime]] = {}
        for e in events:
            if e.campaign:
                pairs.setdefault((e.user_id, e.campaign), []).append(e.timestamp)
        return EndState(
            records=sorted(
                ((e.record_id, e.user_id, e.campaign, e.timestamp) for e in events),
                key=lambda row: row[0],
            ),
            documents=full,
            vectors=sorted((e.record_id, e.user_id) for e in events if e.message),
            profiles=sorted(Counter(e.user_id for e in events if e.message).items()),
            users=sorted({e.user_id for e in events}),
            campaigns=sorted({e.campaign for e in events if e.campaign}),
            events=sorted((e.record_id, e.timestamp) for e in events),
            performed=sorted((e.user_id, e.record_id) for e in events),
            part_of=sorted((e.record_id, e.campaign) for e in events if e.campaign),
            participated_in=sorted(
                (user, campaign, len(times), min(times), max(times))
                for (user, campaign), times in pairs.items()
            ),
            targeted_by=sorted((u, c, min(times)) for (u, c), times in pairs.items()),
            rows=full,
        )


def expected(*objects: Iterable[Sequence[str]]) -> EndState:
    """The end state after these objects, oldest first."""
    oracle = Oracle()
    for rows in objects:
        oracle.take(rows)
    return oracle.end_state()


def as_csv(rows: Iterable[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return (HEADER + buffer.getvalue()).encode()


def rows_of(data: bytes, *, without_lines: Iterable[int] = ()) -> list[list[str]]:
    """The rows of a file, less the physical lines (from 1) that are known to be bad."""
    bad = set(without_lines)
    lines = data.split(b"\n")
    good = [line for number, line in enumerate(lines, start=1) if number not in bad and line]
    return list(csv.reader(io.StringIO(b"\n".join(good).decode(), newline="")))[1:]


def sample(users: int = 12, rows: int = 60) -> list[Row]:
    """Rows with few messages, some empty, a campaign only with a message, several per user."""
    found: list[Row] = []
    for number in range(rows):
        message = "" if number % 7 == 3 else f"Asking about offer {number % 5}"
        campaign = f"Campaign_{number % 4}" if message and number % 3 else ""
        found.append(
            (
                f"record-{number:04d}",
                f"user_{number % users}",
                message,
                campaign,
                f"2025-11-{3 + number % 9:02d} 10:{number % 60:02d}:00.{number:06d}",
            )
        )
    return found


def rewritten(rows: Sequence[Row]) -> list[Row]:
    """A newer version of the rows: others' users, messages, campaigns and days; some are new.

    Every fourth row says another user, message, campaign or (later) day; the last user and the
    last campaign go, a new one of each comes, one row loses its message.
    """
    changed = [_rewritten(number, row) for number, row in enumerate(rows)]
    new = [
        (f"new-{n}", f"user_{n + 100}", "Asking about offer 1", "Campaign_1",
         f"2025-12-24 18:00:{n:02d}.000000")
        for n in range(5)
    ]  # fmt: skip
    return [*changed, *new]


def _rewritten(number: int, row: Row) -> Row:
    key, user, message, campaign, at = row
    if number % 4 == 0:
        user = "user_new" if number % 8 else user
        message = f"Complaint {number % 3}" if number % 12 else ""
        campaign = "Campaign_New" if message and number % 16 else ""
        at = at.replace("2025-11", "2025-12") if number % 5 == 0 else at
    if campaign == "Campaign_3":
        campaign = "Campaign_1"
    if user == "user_5":
        user = "user_6"
    return (key, user, message, campaign, at)
