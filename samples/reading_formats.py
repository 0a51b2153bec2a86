"""How reading events and categories are spelled: history files as CSV, messages as JSON.

Belongs here: layouts, spellings, and the defects of each. Does not: what is in a file, or which
figures follow from it (``reading.py``).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

#: A row of events or of categories, as ``reading.py`` makes them.
EventRow = tuple[int, int, float, datetime]
CategoryRow = tuple[int, str]

_AT = "2022-03-04 05:06:07.089"

#: Lines of a file with the columns user_id, pratilipi_id, read_percent, updated_at.
BAD_EVENTS: tuple[tuple[str, bytes], ...] = (
    ("too_few_fields", b"1,2,3.0"),
    ("too_many_fields", f"1,2,3.0,{_AT},x".encode()),
    ("bad_encoding", f"1,2,3.0\xff,{_AT}".encode("latin-1")),
    ("nul_character", f"1,2,3\x00,{_AT}".encode()),
    ("unclosed_quote", f'1,"2,3.0,{_AT}'.encode()),
    ("missing_field", f",2,3.0,{_AT}".encode()),
    ("missing_field", b"1,2,3.0, "),
    ("wrong_type", f"someone,2,3.0,{_AT}".encode()),
    ("wrong_type", f"1,2.5,3.0,{_AT}".encode()),
    ("wrong_type", f"1,2,most,{_AT}".encode()),
    ("out_of_range", f"{2**63},2,3.0,{_AT}".encode()),
    ("out_of_range", f"1,{-(2**63) - 1},3.0,{_AT}".encode()),
    ("out_of_range", f"1,2,-0.5,{_AT}".encode()),
    ("out_of_range", f"1,2,nan,{_AT}".encode()),
    ("out_of_range", f"1,2,inf,{_AT}".encode()),
    ("bad_date", b"1,2,3.0,2022-02-30 10:00:00"),
    ("bad_date", b"1,2,3.0,yesterday"),
    ("before_2000", b"1,2,3.0,1999-12-31 23:59:59.999"),
    ("future_date", b"1,2,3.0,2199-01-01"),
)

#: Values of the columns content_id and category_name.
BAD_CATEGORIES: tuple[tuple[str, tuple[bytes, bytes]], ...] = (
    ("missing_field", (b"", b"life")),
    ("wrong_type", (b"1e3", b"life")),
    ("out_of_range", (str(2**64).encode(), b"life")),
    ("empty", (b"3", b"")),
    ("empty", (b"3", b" \xc2\xa0 ")),
    ("too_long", (b"3", "ö".encode() * 201)),
    ("nul_character", (b"3", b"li\x00fe")),
    ("bad_encoding", (b"3", b"li\xfffe")),
)


def _event(
    user_id: str = "1", content_id: str = "2", read_percent: str = "3", at: str = "2022-03-04"
) -> bytes:
    """A message of these JSON values."""
    return (
        f'{{"user_id": {user_id}, "content_id": {content_id}, '
        f'"read_percent": {read_percent}, "updated_at": "{at}"}}'
    ).encode()


BAD_EVENT_MESSAGES: tuple[tuple[str, bytes], ...] = (
    ("not_json", b"user 1 read 2"),
    ("not_json", _event()[:-3]),
    ("not_an_object", b'[1, 2, 3.0, "2022-03-04"]'),
    ("missing_field", b'{"user_id": 1, "content_id": 2, "read_percent": 3.0}'),
    ("wrong_type", _event(user_id='"someone"')),
    ("wrong_type", _event(content_id="2.5")),
    ("wrong_type", _event(read_percent='"most"')),
    ("out_of_range", _event(user_id=str(2**63))),
    ("out_of_range", _event(read_percent="-1")),
    ("bad_date", _event(at="2022-02-30")),
    ("before_2000", _event(at="1999-12-31 23:59:59.999")),
    ("future_date", _event(at="2199-01-01")),
)

BAD_CATEGORY_MESSAGES: tuple[tuple[str, bytes], ...] = (
    ("not_json", b"life"),
    ("not_an_object", b'"life"'),
    ("missing_field", b'{"content_id": 3}'),
    ("wrong_type", b'{"content_id": 3, "category_name": 4}'),
    ("out_of_range", b'{"content_id": -9223372036854775809, "category_name": "life"}'),
    ("empty", b'{"content_id": 3, "category_name": "  "}'),
    ("too_long", b'{"content_id": 3, "category_name": "' + b"x" * 201 + b'"}'),
)


def line(values: Sequence[str], *, quoted: bool = False) -> str:
    """One CSV line; quotes around every value, or only where they are needed."""
    buffer = io.StringIO()
    csv.writer(
        buffer, lineterminator="\n", quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    ).writerow(values)
    return buffer.getvalue()


def plain_events(events: Iterable[EventRow], rng: random.Random) -> bytes:
    """As the real history is."""
    lines = ["user_id,content_id,read_percent,updated_at\n"]
    lines += [line(_spelled(event, rng)) for event in events]
    return "".join(lines).encode()


def quoted_events(events: Iterable[EventRow], rng: random.Random) -> bytes:
    """Compressed, the columns in another order, every second row in quotes."""
    lines = ["updated_at,read_percent,content_id,user_id\n"]
    for number, event in enumerate(events):
        lines.append(line(_spelled(event, rng)[::-1], quoted=number % 2 == 0))
    return gzip.compress("".join(lines).encode(), mtime=0)


def old_events(events: Sequence[EventRow], rng: random.Random) -> bytes:
    """The old column names, a BOM, CRLF, blank lines, and every defect of BAD_EVENTS."""
    lines = [line(_spelled(event, rng)).rstrip("\n").encode() for event in events]
    step = max(1, len(lines) // (len(BAD_EVENTS) + 1))
    written = [b"\xef\xbb\xbfuser_id,pratilipi_id,read_percent,updated_at"]
    for number, (_, bad) in enumerate(BAD_EVENTS):
        written += [*lines[number * step : (number + 1) * step], bad]
        written += [b""] if number % 5 == 0 else []
    return b"\r\n".join([*written, *lines[len(BAD_EVENTS) * step :]])


def categories(rows: Iterable[CategoryRow], rng: random.Random) -> bytes:
    """As the real metadata is, compressed."""
    lines = ["content_id,category_name\n"]
    lines += [line([str(content), _varied(name, rng)]) for content, name in rows]
    return gzip.compress("".join(lines).encode(), mtime=0)


def old_categories(rows: Iterable[CategoryRow], rng: random.Random) -> bytes:
    """The old system's columns, most of which do not matter, and every defect."""
    lines = [b"author_id,pratilipi_id,category_name,reading_time,updated_at,published_at\n"]
    for content, name in rows:
        values = ["-3418949279741297", str(content), _varied(name, rng)]
        lines.append(line([*values, "171", "2020-08-19 15:26:13", "2016-09-30"]).encode())
    for number, (_, (bad_content, bad_name)) in enumerate(BAD_CATEGORIES):
        cells = (b"7", bad_content, bad_name, b"0", b"2020-08-19 15:26:13", b"2016-09-30")
        bad = b",".join(cells) + b"\n"
        lines.insert(1 + number * len(lines) // len(BAD_CATEGORIES), bad)
    return b"".join(lines)


def event_message(event: EventRow, rng: random.Random) -> bytes:
    """An event as it is published; a whole percentage with or without decimals."""
    user_id, content_id, percent, at = event
    number = int(percent) if percent == int(percent) and rng.random() < 0.5 else percent
    return json.dumps(
        {
            "user_id": user_id,
            "content_id": content_id,
            "read_percent": number,
            "updated_at": _time(at, rng),
        },
        separators=rng.choice(((",", ":"), (", ", ": "))),
    ).encode()


def category_message(row: CategoryRow, rng: random.Random) -> bytes:
    """A category as it is published, with or without escapes."""
    content_id, name = row
    return json.dumps(
        {"content_id": content_id, "category_name": _varied(name, rng)},
        ensure_ascii=rng.random() < 0.5,
    ).encode()


def _spelled(event: EventRow, rng: random.Random) -> list[str]:
    user_id, content_id, percent, at = event
    number = repr(percent)
    if percent == int(percent) and rng.random() < 0.2:
        number = str(int(percent))
    return [str(user_id), str(content_id), number, _time(at, rng)]


def _time(at: datetime, rng: random.Random) -> str:
    """The shortest spelling or a longer one; a midnight may be told by its date alone."""
    naive = at.astimezone(UTC).replace(tzinfo=None)
    texts = [naive.isoformat(sep=" ", timespec="microseconds")]
    if naive.microsecond % 1_000 == 0:
        texts.append(naive.isoformat(sep=" ", timespec="milliseconds"))
    if naive.microsecond == 0:
        texts.append(naive.isoformat(sep=" ", timespec="seconds"))
    if naive.isoformat().endswith("T00:00:00"):
        texts.append(naive.date().isoformat())
    return texts[-1] if rng.random() < 0.8 else rng.choice(texts)


def _varied(name: str, rng: random.Random) -> str:
    """The same category with spaces around it or with its accents apart."""
    kind = rng.randrange(6)
    if kind == 0:
        return f" {name}  "
    return unicodedata.normalize("NFD", name) if kind == 1 else name
