"""What the demo of reading puts in, and what has to come out, counted here in plain Python.

Belongs here: messages, files and the recount. Does not: publishing and looking (``reading.py``);
nothing of the pipeline is used, so that both may be wrong only for reasons of their own.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

#: Of the real file: events that are published, and those that come as history.
REAL_MESSAGES = 20_000
REAL_HISTORY = 200_000
#: Categories that are published; the others come as history.
REAL_META_MESSAGES = 2_000
#: Every so many-th published event is published twice, or is in the history file as well.
TWICE = 20
IN_BOTH = 100

SAMPLE_EVENTS = 4_000
SAMPLE_USERS = 60

_WINDOW = timedelta(days=14)
_READ = 90.0

#: user_id, content_id, read_percent, updated_at in UTC.
Event = tuple[int, int, float, datetime]
#: content_id, category_name.
Category = tuple[int, str]
#: Day, user and category.
Cell = tuple[date, int, str]


@dataclass(frozen=True, slots=True)
class Input:
    """Messages by kind (``interaction``, ``meta``), files, and what both hold together.

    ``rejected`` counts reasons of bad messages by kind; ``rows`` and ``rejected_rows`` are those of
    files that can be read at all.
    """

    messages: Mapping[str, Sequence[bytes]]
    files: Sequence[Path]
    events: frozenset[Event]
    categories: frozenset[Category]
    rejected: Mapping[str, Mapping[str, int]]
    rows: int
    rejected_rows: int

    @property
    def query_date(self) -> date:
        """The day of the latest event."""
        return max(event[3] for event in self.events).date()


def daily_counts(events: Iterable[Event], categories: Iterable[Category]) -> Counter[Cell]:
    """Pairs of an event read beyond 90 percent and a category of its content, by day and user."""
    named = defaultdict(list)
    for content_id, category in categories:
        named[content_id].append(category)
    return Counter(
        (updated_at.date(), user_id, category)
        for user_id, content_id, read_percent, updated_at in events
        if read_percent > _READ
        for category in named.get(content_id, ())
    )


def within(cell: Cell, query_date: date) -> bool:
    """Whether the cell's day is one of the two weeks up to ``query_date``, both ends whole."""
    return query_date - _WINDOW <= cell[0] <= query_date


def shares(counts: Mapping[Cell, int], query_date: date) -> dict[int, dict[str, float]]:
    """Every user's shares of categories in the two weeks up to ``query_date``."""
    pairs: dict[int, Counter[str]] = defaultdict(Counter)
    for cell, events in counts.items():
        if within(cell, query_date):
            _, user_id, category = cell
            pairs[user_id][category] += events
    return {
        user_id: {category: n / mine.total() for category, n in mine.items()}
        for user_id, mine in pairs.items()
    }


def sample_input(folder: Path) -> Input:
    """Generated files and messages, with every quirk and defect."""
    from samples import reading

    folder.mkdir(parents=True, exist_ok=True)
    made = reading.write(folder, seed=1, users=SAMPLE_USERS, events=SAMPLE_EVENTS)
    topics = {"interaction": reading.INTERACTION_TOPIC, "meta": reading.META_TOPIC}
    readable = [part for part in made.files.values() if part.reason is None]
    return Input(
        messages={
            kind: (folder / "messages" / f"{topic}.jsonl").read_bytes().splitlines()
            for kind, topic in topics.items()
        },
        files=[folder / name for name in made.files],
        events=frozenset(
            (e.user_id, e.content_id, e.read_percent, e.updated_at) for e in made.events
        ),
        categories=frozenset((c.content_id, c.category_name) for c in made.categories),
        rejected={kind: made.topics[topic].rejects for kind, topic in topics.items()},
        rows=sum(part.rows for part in readable),
        rejected_rows=sum(part.rejects.total() for part in readable),
    )


def real_input(data: Path, folder: Path) -> Input:
    """A part of the real events, and all real categories, shared out to messages and files."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = REAL_MESSAGES + REAL_HISTORY
    rows = list(itertools.islice(_rows(data / "user_interaction_calibrated.csv.gz"), taken))
    step = len(rows) // REAL_MESSAGES
    published = rows[::step]
    history = [row for n, row in enumerate(rows) if n % step] + published[::IN_BOTH]
    named = list(_rows(data / "content_meta_calibrated.csv.gz"))
    named_by_message, named_by_file = named[:REAL_META_MESSAGES], named[REAL_META_MESSAGES // 2 :]
    files = [folder / "interactions.csv.gz", folder / "categories.csv"]
    with gzip.open(files[0], "wt", newline="", compresslevel=1) as file:
        _write(file, ("user_id", "content_id", "read_percent", "updated_at"), history)
    with files[1].open("w", newline="") as plain:
        _write(plain, ("content_id", "category_name"), named_by_file)
    messages = [_event_message(row) for row in published]
    return Input(
        messages={
            "interaction": messages + messages[::TWICE],
            "meta": [
                json.dumps({"content_id": int(content_id), "category_name": name}).encode()
                for content_id, name in named_by_message
            ],
        },
        files=files,
        events=frozenset(_event(row) for row in rows),
        categories=frozenset((int(content_id), name) for content_id, name in named),
        rejected={"interaction": {}, "meta": {}},
        rows=len(history) + len(named_by_file),
        rejected_rows=0,
    )


def _rows(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") as file:
        reader = csv.reader(file)
        next(reader)
        yield from reader


def _write(file: object, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    writer = csv.writer(file)  # type: ignore[arg-type]
    writer.writerow(header)
    writer.writerows(rows)


def _event(row: Sequence[str]) -> Event:
    at = datetime.fromisoformat(row[3]).replace(tzinfo=UTC)
    return int(row[0]), int(row[1]), float(row[2]), at


def _event_message(row: Sequence[str]) -> bytes:
    user_id, content_id, read_percent, _ = _event(row)
    event = {
        "user_id": user_id,
        "content_id": content_id,
        "read_percent": read_percent,
        "updated_at": row[3],
    }
    return json.dumps(event).encode()
