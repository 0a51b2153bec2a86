"""Reading events and categories as history files and as messages, and what they hold, counted here.

Belongs here: the events as they are made, their figures and their shares. Does not: how they are
spelled in files and messages (``reading_formats.py``), reading or loading; the figures come from
the events themselves, not from any code of the pipeline.

Quirks: ids of 64 bits, some negative; percentages above 100 and exactly 90; times of day, with and
without fractions, and mere dates; half of the contents without category, the others with up to
three; categories with a comma, in Devanagari, and with an accent spelled in two ways; events that
are in files and in messages, that come twice, and not in the order of time.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from samples import reading_formats as formats

FIRST_DAY = date(2022, 3, 1)

INTERACTION_TOPIC = "user-interaction"
META_TOPIC = "content-meta"

#: Days before the query date that belong to an answer, and the percentage to be exceeded in it.
_WINDOW = timedelta(days=14)
_READ = 90

#: Below these, some quirk or defect would have no row.
FEWEST_EVENTS = 200
FEWEST_CONTENTS = 20

_CATEGORIES = (
    "romance", "suspense", "life", "translation", "family, kids", "पारिवारिक", "poésie", "horror",
    "history", "humour", "sci-fi", 'the "best" of 2021',
)  # fmt: skip
_SHOWN_USERS = 5


class Event(NamedTuple):
    """One reading. ``updated_at`` is UTC."""

    user_id: int
    content_id: int
    read_percent: float
    updated_at: datetime


class Category(NamedTuple):
    """One category of a content, in composed spelling and without surrounding spaces."""

    content_id: int
    category_name: str


@dataclass(slots=True)
class Part:
    """What one file, or the messages of one topic, hold. ``reason``: the whole file is refused."""

    kind: str
    rows: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    reason: str | None = None


@dataclass(slots=True)
class Manifest:
    """What everything holds together; ``files`` and ``topics`` by path and name."""

    files: dict[str, Part] = field(default_factory=dict)
    topics: dict[str, Part] = field(default_factory=dict)
    history_events: set[Event] = field(default_factory=set)
    message_events: set[Event] = field(default_factory=set)
    history_categories: set[Category] = field(default_factory=set)
    message_categories: set[Category] = field(default_factory=set)

    @property
    def events(self) -> set[Event]:
        """All events, each once."""
        return self.history_events | self.message_events

    @property
    def categories(self) -> set[Category]:
        """All categories, each once."""
        return self.history_categories | self.message_categories

    @property
    def last_day(self) -> date:
        """The day of the latest event."""
        return max(event.updated_at for event in self.events).date()

    def readers(self) -> list[int]:
        """The users, those with most events first."""
        counts = Counter(event.user_id for event in self.events)
        return sorted(counts, key=lambda user: (-counts[user], user))

    def shares(self, user_id: int, query_date: date) -> dict[str, float]:
        """A user's category shares once everything is loaded; empty when there are none."""
        return shares(self.events, self.categories, user_id, query_date)

    def as_json(self) -> dict[str, object]:
        """The figures of everything together."""
        return {
            "files": {name: _figures(part) for name, part in self.files.items()},
            "topics": {name: _figures(part) for name, part in self.topics.items()},
            "events": len(self.events),
            "events_in_history": len(self.history_events),
            "events_in_messages": len(self.message_events),
            "categories": len(self.categories),
            "categories_in_history": len(self.history_categories),
            "categories_in_messages": len(self.message_categories),
            "query_date": self.last_day.isoformat(),
            "shares": {
                str(user): self.shares(user, self.last_day)
                for user in self.readers()[:_SHOWN_USERS]
            },
        }


def shares(
    events: set[Event], categories: set[Category], user_id: int, query_date: date
) -> dict[str, float]:
    """Shares of categories in what a user read in the two weeks up to a date, both ends whole."""
    pairs: Counter[str] = Counter()
    for event in events:
        day = event.updated_at.date()
        inside = query_date - _WINDOW <= day <= query_date
        if event.user_id == user_id and inside and event.read_percent > _READ:
            pairs.update(
                category.category_name
                for category in categories
                if category.content_id == event.content_id
            )
    return {name: count / pairs.total() for name, count in sorted(pairs.items())}


def write(
    folder: Path,
    *,
    seed: int,
    users: int = 40,
    contents: int = 60,
    events: int = 2_000,
    days: int = 20,
) -> Manifest:
    """Write ``history/*`` and ``messages/<topic>.jsonl`` below ``folder``; what they hold.

    ``events`` are shared out: half are in files only, four tenths in messages only, the others in
    both. On top come repetitions of a tenth of them, and every defect once.
    """
    if events < FEWEST_EVENTS or contents < FEWEST_CONTENTS or users < 1 or days < 1:
        raise ValueError(f"at least {FEWEST_EVENTS} events and {FEWEST_CONTENTS} contents")
    rng = random.Random(seed)
    made = list(_events(rng, users, contents, events, days))
    half, most = events // 2, events * 9 // 10
    rng.shuffle(made)
    named = _categories(rng, contents)
    writer = _Writer(folder, rng)
    writer.histories([*made[:half], *made[most:]])
    writer.metadata(named[: len(named) * 2 // 3])
    writer.interactions(made[half:])
    writer.meta(named[len(named) // 2 :])
    writer.others()
    return writer.manifest


def write_events(
    path: Path, rows: int, seed: int, *, users: int = 5_000, contents: int = 20_000, days: int = 23
) -> None:
    """``rows`` good events for measurements, in bounded memory, nearly all different."""
    rng = random.Random(seed)
    with path.open("w", encoding="utf-8") as file:
        file.write("user_id,content_id,read_percent,updated_at\n")
        for event in _events(rng, users, contents, rows, days):
            at = event.updated_at.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
            file.write(f"{event.user_id},{event.content_id},{event.read_percent!r},{at}\n")


def write_categories(path: Path, seed: int, *, contents: int = 20_000) -> None:
    """The categories of the contents of :func:`write_events`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("content_id,category_name\n")
        for category in _categories(random.Random(seed), contents):
            file.write(formats.line([str(category.content_id), category.category_name]))


def main(
    out: Path, *, seed: int, users: int, contents: int, events: int, days: int
) -> dict[str, object]:
    """All files below ``out`` and the figures beside them; returns the figures."""
    out.mkdir(parents=True, exist_ok=True)
    manifest = write(out, seed=seed, users=users, contents=contents, events=events, days=days)
    figures = manifest.as_json()
    (out / "manifest.json").write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    return figures


def user(number: int) -> int:
    """The id of a user; every seventh is negative, the first is the least of 64 bits."""
    if number == 0:
        return -(2**63)
    identifier = 5_506_791_950_000_000 + number * 7_919
    return -identifier if number % 7 == 3 else identifier


def content(number: int) -> int:
    """The id of a content; every fifth is negative, the first is the greatest of 64 bits."""
    if number == 0:
        return 2**63 - 1
    identifier = 1_377_786_210_000_000 + number * 104_729
    return -identifier if number % 5 == 2 else identifier


def _events(
    rng: random.Random, users: int, contents: int, count: int, days: int
) -> Iterator[Event]:
    """Users and contents are popular in the manner of few and many; events differ in time."""
    start = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC)
    known: set[tuple[int, int]] = set()
    for _ in range(count):
        who, what = int(users * rng.random() ** 2), int(contents * rng.random() ** 2)
        day = timedelta(days=rng.randrange(days))
        kind = rng.randrange(10)
        at = start + day
        if kind > 0 or (who, what) in known:
            at += timedelta(milliseconds=rng.randrange(86_400_000))
        else:
            known.add((who, what))
        if kind > 7:
            at += timedelta(microseconds=rng.randrange(1_000))
        elif kind < 3:
            at = at.replace(microsecond=0)
        yield Event(user(who), content(what), _percent(rng), at)


def _percent(rng: random.Random) -> float:
    kind = rng.randrange(20)
    if kind < 11:
        return 100.0
    if kind == 11:
        return 90.0
    if kind == 12:
        return rng.choice((2_400.0, 150.5, 100.00000000000001, 90.00000000000001, 0.0))
    return round(rng.uniform(0, 100), 3)


def _categories(rng: random.Random, contents: int) -> list[Category]:
    """Every second content has one to three categories."""
    return [
        Category(content(number), name)
        for number in range(0, contents, 2)
        for name in rng.sample(_CATEGORIES, rng.randint(1, 3))
    ]


def _figures(part: Part) -> dict[str, object]:
    figures: dict[str, object] = {"kind": part.kind, "rows": part.rows}
    if part.reason:
        figures["refused"] = part.reason
    return {
        **figures,
        "accepted": part.rows - part.rejects.total(),
        "rejected": dict(sorted(part.rejects.items())),
    }


class _Writer:
    """Writes files and messages and counts what goes into them."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.manifest = Manifest()
        self._folder = folder
        self._rng = rng
        for name in ("history", "messages"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def _put(self, name: str, data: bytes, part: Part) -> None:
        (self._folder / "history" / name).write_bytes(data)
        self.manifest.files[f"history/{name}"] = part

    def _again(self, rows: Sequence[NamedTuple]) -> list[NamedTuple]:
        """The rows, a tenth of them twice, the second time anywhere."""
        many = [*rows]
        for row in self._rng.sample(many, len(many) // 10):
            many.insert(self._rng.randint(0, len(many)), row)
        return many

    def histories(self, events: list[Event]) -> None:
        """A plain file, a compressed one with quotes, and one as the old system wrote it."""
        rng, third = self._rng, len(events) // 3
        many = [Event(*row) for row in self._again(events)]
        self.manifest.history_events.update(events)
        plain, quoted, old = many[:third], many[third : 2 * third], many[2 * third :]
        self._put("interactions.csv", formats.plain_events(plain, rng), Part("events", len(plain)))
        # Not called .gz, though it is.
        self._put(
            "interactions_2.csv", formats.quoted_events(quoted, rng), Part("events", len(quoted))
        )
        rejects = Counter(reason for reason, _ in formats.BAD_EVENTS)
        self._put(
            "old_interactions.csv",
            formats.old_events(old, rng),
            Part("events", len(old) + rejects.total(), rejects),
        )

    def metadata(self, categories: list[Category]) -> None:
        """A compressed file, and one as the old system wrote it."""
        half = len(categories) // 2
        many = [Category(*row) for row in self._again(categories)]
        self.manifest.history_categories.update(categories)
        self._put(
            "categories.csv.gz",
            formats.categories(many[:half], self._rng),
            Part("categories", half),
        )
        rejects = Counter(reason for reason, _ in formats.BAD_CATEGORIES)
        self._put(
            "old_metadata.csv",
            formats.old_categories(many[half:], self._rng),
            Part("categories", len(many) - half + rejects.total(), rejects),
        )

    def others(self) -> None:
        """What is no history, whatever its name says."""
        whole = formats.quoted_events(
            [Event(1, 2, 3.0, datetime(2022, 3, 4, tzinfo=UTC))] * 99, self._rng
        )
        for name, data, reason in (
            ("people.csv", b"name,age\nAnn,40\n", "bad_header"),
            ("cut_off.csv.gz", whole[: len(whole) // 2], "bad_gzip"),
        ):
            self._put(name, data, Part("other", reason=reason))

    def interactions(self, events: list[Event]) -> None:
        """Events as messages, bad ones strewn among them."""
        self.manifest.message_events.update(events)
        good = [formats.event_message(Event(*row), self._rng) for row in self._again(events)]
        self._messages(INTERACTION_TOPIC, good, formats.BAD_EVENT_MESSAGES)

    def meta(self, categories: list[Category]) -> None:
        """Categories as messages, bad ones strewn among them."""
        self.manifest.message_categories.update(categories)
        good = [formats.category_message(Category(*r), self._rng) for r in self._again(categories)]
        self._messages(META_TOPIC, good, formats.BAD_CATEGORY_MESSAGES)

    def _messages(self, topic: str, good: list[bytes], bad: Sequence[tuple[str, bytes]]) -> None:
        lines = [*good]
        for _, data in bad:
            lines.insert(self._rng.randint(0, len(lines)), data)
        path = self._folder / "messages" / f"{topic}.jsonl"
        path.write_bytes(b"".join(data + b"\n" for data in lines))
        rejects = Counter(reason for reason, _ in bad)
        self.manifest.topics[topic] = Part("messages", len(lines), rejects)
