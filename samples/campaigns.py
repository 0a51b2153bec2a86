"""Campaign events as CSV, in the real format with its quirks, and what they hold, counted here.

Belongs here: making files and a manifest of expected figures. Does not: reading or loading them;
the figures come from the rows as they were made, not from any code of the pipeline.

Quirks of the real files: no zone in the timestamp, messages and campaigns may be empty, a campaign
is never set without a message, very few distinct messages, most users have one event.
"""

from __future__ import annotations

import csv
import io
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path

COLUMNS = ("record_id", "user_id", "message", "campaign", "timestamp")

_OPENINGS = ("Asking about", "Feedback on", "Looking for", "Requesting", "Comparing", "Reporting")
_OBJECTS = ("delivery times", "a refund", "winter shoes", "gift cards", "the loyalty programme")
_CLOSINGS = ("", ", please", " before the weekend", " for a friend", " - once more", "; it's late")
_THEMES = ("Festive_Sale", "Seasonal_Promo", "Product_Recommendation", "Welcome", "Win_Back")
_START = datetime(2025, 11, 3, 22, 34, 41)  # noqa: DTZ001 - the files carry no zone
_LARGE_FIELD = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """One row. Empty strings stand where the file has nothing."""

    record_id: str
    user_id: str
    message: str
    campaign: str
    timestamp: str

    @property
    def values(self) -> tuple[str, str, str, str, str]:
        """In the order of COLUMNS."""
        return self.record_id, self.user_id, self.message, self.campaign, self.timestamp


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of what. ``empty`` is the share of rows without message; ``zipf`` the exponent of
    the users' popularity, 0 for all alike; ``message_characters`` pads messages to that length.
    """  # noqa: D205 - the sentence needs two lines

    rows: int = 1_170
    users: int = 1_000
    messages: int = 15
    campaigns: int = 7
    empty: float = 0.1
    zipf: float = 0.0
    message_characters: int = 0


@dataclass(slots=True)
class Manifest:
    """What a file holds. ``rejects`` are (line, reason); ``lines`` counts the header, too."""

    lines: int = 1
    events: int = 0
    empty_messages: int = 0
    empty_campaigns: int = 0
    rejects: list[tuple[int, str]] = field(default_factory=list)
    _users: Counter[str] = field(default_factory=Counter)
    _with_message: set[str] = field(default_factory=set)
    _participations: set[tuple[str, str]] = field(default_factory=set)
    _messages: set[str] = field(default_factory=set)

    def count(self, event: Event) -> None:
        """Take a good row into the figures."""
        self.events += 1
        self.empty_messages += not event.message
        self.empty_campaigns += not event.campaign
        self._users[event.user_id] += 1
        if event.message:
            self._with_message.add(event.user_id)
            self._messages.add(event.message)
        if event.campaign:
            self._participations.add((event.user_id, event.campaign))

    def as_json(self) -> dict[str, object]:
        """The figures, named as the sinks' counts are."""
        engaged = {user for user, _ in self._participations}
        return {
            "lines": self.lines,
            "read": self.events + len(self.rejects),
            "accepted": self.events,
            "rejected": len(self.rejects),
            "reasons": dict(sorted(Counter(reason for _, reason in self.rejects).items())),
            "rejects": [{"line": line, "reason": reason} for line, reason in self.rejects],
            "users": len(self._users),
            "events": self.events,
            "performed": self.events,
            "campaigns": len({campaign for _, campaign in self._participations}),
            "part_of": self.events - self.empty_campaigns,
            "participated_in": len(self._participations),
            "users_without_campaign": len(self._users) - len(engaged),
            "users_with_vector": len(self._with_message),
            "users_with_only_empty_messages": len(self._users) - len(self._with_message),
            "users_with_several_events": sum(n > 1 for n in self._users.values()),
            "empty_messages": self.empty_messages,
            "empty_campaigns": self.empty_campaigns,
            "distinct_messages": len(self._messages),
        }


def events(shape: Shape, seed: int) -> Iterator[Event]:
    """Rows in time order, the same for the same shape and seed."""
    rng = random.Random(seed)
    messages = [_message(number, shape.message_characters) for number in range(shape.messages)]
    campaigns = [_campaign(number) for number in range(shape.campaigns)]
    weights = list(accumulate(1 / rank**shape.zipf for rank in range(1, shape.users + 1)))
    users = range(1, shape.users + 1)
    at = _START
    for _ in range(shape.rows):
        at += timedelta(seconds=rng.randrange(1, 600), microseconds=rng.randrange(1_000_000))
        user = rng.choices(users, cum_weights=weights)[0]
        message = "" if rng.random() < shape.empty else rng.choice(messages)
        campaign = rng.choice(campaigns) if message and rng.random() < 0.85 else ""
        yield Event(
            str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            f"user_{user}",
            message,
            campaign,
            at.isoformat(sep=" ", timespec="microseconds"),
        )


def write(path: Path, shape: Shape, seed: int, *, dirty: bool = False) -> Manifest:
    """Write one file in bounded memory and return what it holds.

    ``dirty`` strews one of each defect among the rows; two of them, the unclosed quote and the
    duplicate, stand right before good rows that must survive them.
    """
    manifest = Manifest()
    step = max(1, shape.rows // (len(_DEFECTS) + 1))
    pending = list(_DEFECTS) if dirty else []
    with path.open("wb") as file:
        file.write(",".join(COLUMNS).encode() + b"\n")
        for number, event in enumerate(events(shape, seed), start=1):
            _write_good(file, event, manifest)
            if pending and number % step == 0:
                _write_defect(file, event, pending.pop(0), manifest)
        for reason in pending:
            _write_defect(file, event, reason, manifest)
    return manifest


def main(out: Path, shape: Shape, seed: int, *, dirty: bool) -> dict[str, object]:
    """``campaign_events.csv`` and ``manifest.json`` in ``out``; returns the manifest."""
    out.mkdir(parents=True, exist_ok=True)
    name = "campaign_events_dirty.csv" if dirty else "campaign_events.csv"
    figures = write(out / name, shape, seed, dirty=dirty).as_json()
    (out / "manifest.json").write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def _message(number: int, characters: int) -> str:
    opening = _OPENINGS[number % len(_OPENINGS)]
    subject = _OBJECTS[number // len(_OPENINGS) % len(_OBJECTS)]
    closing = _CLOSINGS[number // (len(_OPENINGS) * len(_OBJECTS)) % len(_CLOSINGS)]
    round_number = number // (len(_OPENINGS) * len(_OBJECTS) * len(_CLOSINGS))
    text = f"{opening} {subject}{closing}" + (f" ({round_number})" if round_number else "")
    return text.ljust(characters, ".")


def _campaign(number: int) -> str:
    theme = _THEMES[number % len(_THEMES)]
    return theme if number < len(_THEMES) else f"{theme}_{number // len(_THEMES) + 1}"


def _encoded(values: tuple[str, ...]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue().encode()


def _write_good(file: io.BufferedWriter, event: Event, manifest: Manifest) -> None:
    line = _encoded(event.values)
    file.write(line)
    manifest.lines += line.count(b"\n")
    manifest.count(event)


def _other(event: Event, suffix: str) -> Event:
    return Event(
        f"{event.record_id[:-2]}{suffix}",
        event.user_id,
        event.message or "Asking",
        event.campaign,
        event.timestamp,
    )


#: Each followed by how its line is made; ``e`` is a fresh row, ``d`` the good one before it.
_DEFECTS = (
    "missing_record_id",
    "missing_user_id",
    "bad_timestamp",
    "bad_encoding",
    "too_few_fields",
    "too_many_fields",
    "unclosed_quote",
    "nul_character",
    "field_too_large",
    "value_too_long",
    "duplicate_record_id",
)


def _write_defect(file: io.BufferedWriter, before: Event, reason: str, manifest: Manifest) -> None:
    fresh = _other(before, "zz")
    record, user, message, campaign, at = fresh.values
    if reason == "duplicate_record_id":
        # Older than the row before, which is therefore kept.
        line = _encoded((before.record_id, user, message, campaign, "2020-01-01 00:00:00"))
    else:
        line = {
            "missing_record_id": f",{user},Hello,{campaign},{at}".encode(),
            "missing_user_id": f"{record},,Hello,{campaign},{at}".encode(),
            "bad_timestamp": f"{record},{user},Hello,{campaign},2025-02-30 10:00:00".encode(),
            "bad_encoding": f"{record},{user},caf".encode() + b"\xe9" + f",,{at}".encode(),
            "too_few_fields": f"{record},{user},Hello".encode(),
            "too_many_fields": f"{record},{user},Hello, you,{campaign},{at}".encode(),
            "unclosed_quote": f'{record},{user},"Hello,{campaign},{at}'.encode(),
            "nul_character": f"{record},{user},He\x00llo,{campaign},{at}".encode(),
            "field_too_large": f"{record},{user},".encode()
            + b"x" * _LARGE_FIELD
            + f",,{at}".encode(),
            "value_too_long": f"{record * 8},{user},Hello,{campaign},{at}".encode(),
        }[reason] + b"\n"
    manifest.rejects.append((manifest.lines + 1, reason))
    manifest.lines += line.count(b"\n")
    file.write(line)
