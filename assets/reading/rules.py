"""What a reading event and a category must be, whichever way they come, and what of them counts.

Belongs here: fields, bounds, reasons, thresholds: one home for the three readers that follow them,
of messages (``stream/messages.py``), of history files (``history/rows.py``) and of what Google's
services landed (``managed_ingestion/landed_rows.py``, in SQL). Does not: how each of them spells a
value. One test gives all three the same cases.

Of several defects the first in this order is named: a field that is missing, one of another type,
a number out of its range, a time. Within one of these, the fields are looked at in their order.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, NamedTuple

Reason = Literal[
    "not_json",
    "not_an_object",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "bad_date",
    "before_2000",
    "future_date",
    "too_long",
    "empty",
    "refused_by_bigquery",
    "failed_n_attempts",
]

#: The first event date that is taken.
FIRST_DAY = "2000-01-01"
FIRST = datetime.fromisoformat(f"{FIRST_DAY}T00:00:00+00:00")
#: How many minutes a publisher's clock may be ahead of Pub/Sub's.
CLOCK_SKEW_MINUTES = 5
#: How many days a day alone may be: it is that day somewhere, up to 14 hours before UTC has it.
DAYS_AHEAD = 1
#: Bytes of a whole message; what is larger is no event.
MAX_BYTES = 64 * 1024
#: Characters of a category's name.
MAX_CATEGORY = 200
#: What does not count around a name: what str.strip() takes away.
BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
INT64 = range(-(2**63), 2**63)

#: An event counts when more than so many percent were read.
READ_BEYOND = 90
#: Days before the query date that belong to an answer; the query date itself does, too.
WINDOW_DAYS = 14

# A day of the years from 1000 on, alone or with a time: to the minute at least, to a microsecond
# at most, with an offset or UTC, as BigQuery's exports have it, where it is not local. The ranges
# stand here since every reader has its own: BigQuery takes the second 60 for the next minute,
# Python takes offsets of up to a day.
_DAY = r"[1-9]\d\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d"
_SECOND = r":[0-5]\d(?:\.\d\d?\d?\d?\d?\d?)?"
_OFFSET = r"Z| UTC|[+-](?:(?:0\d|1[0-3])(?::?[0-5]\d)?|14(?::?00)?)"
#: Without braces, which templates of statements would take for names.
TIME = rf"{_DAY}(?:[ T]{_CLOCK}(?:{_SECOND})?(?:{_OFFSET})?)?"
_IS_TIME = re.compile(TIME, re.ASCII)

#: What a field is in JSON, by the type of its column.
JSON_TYPES: Mapping[str, type[int | float | str]] = {
    "bigint": int,
    "double precision": float,
    "timestamptz": str,
    "text": str,
}


class Interaction(NamedTuple):
    """One reading event. All four values together are its identity; ``updated_at`` is UTC."""

    user_id: int
    content_id: int
    read_percent: float
    updated_at: datetime


class Category(NamedTuple):
    """A category of a content. Both values together are its identity."""

    content_id: int
    category_name: str


class Rejection(NamedTuple):
    """Why something cannot be taken: a code to count by, and words for a person."""

    reason: Reason
    detail: str


Row = Interaction | Category


def interaction(  # noqa: PLR0917  the fields, then what is known
    user_id: int,
    content_id: int,
    read_percent: float,
    updated_at: str,
    at_most: datetime,
    zone: tzinfo = UTC,
) -> Interaction | Rejection:
    """The event that these values are, if it may have happened ``at_most`` then (UTC).

    ``read_percent`` has no upper bound, for readers come back to a text; it is finite and not
    negative. A time without an offset is of the ``zone``. A day alone is that day, whatever the
    zone: its midnight in UTC.
    """
    if not updated_at:
        return Rejection("missing_field", "updated_at is empty")
    if user_id not in INT64 or content_id not in INT64:
        name = "content_id" if user_id in INT64 else "user_id"
        return Rejection("out_of_range", f"{name} is no number of 64 bits")
    if not 0.0 <= read_percent < math.inf:
        return Rejection("out_of_range", f"read_percent is {read_percent}")
    at = _utc(updated_at, zone)
    if at is None or at < FIRST or (at > at_most and at > _latest_of(updated_at, at_most)):
        return _wrong_time(updated_at, at, at_most)
    # Adding zero makes -0.0 what it equals.
    return Interaction(user_id, content_id, read_percent + 0.0, at)


def _wrong_time(text: str, at: datetime | None, at_most: datetime) -> Rejection:
    detail = f"updated_at is {text[:40]!r}"
    if at is None:
        return Rejection("bad_date", detail)
    if at < FIRST:
        return Rejection("before_2000", detail)
    return Rejection("future_date", f"{detail}, known {at_most:%F %T}")


def category(
    content_id: int,
    category_name: str,
    _at_most: datetime | None = None,
    _zone: tzinfo = UTC,
) -> Category | Rejection:
    """The category that these values are; its name in NFC, without blanks around it."""
    if content_id not in INT64:
        return Rejection("out_of_range", "content_id is no number of 64 bits")
    name = regular_name(category_name)
    if not name:
        return Rejection("empty", "category_name is empty")
    if len(name) > MAX_CATEGORY:
        return Rejection("too_long", f"category_name has {len(name)} characters")
    return Category(content_id, name)


def regular_name(text: str) -> str:
    """A category's name as it is kept, whatever may be wrong with it."""
    return unicodedata.normalize("NFC", text).strip(BLANKS)


def latest(now: datetime) -> datetime:
    """The last instant of an event that is known of ``now`` (UTC): one of today, clocks aside."""
    ahead = now + timedelta(minutes=CLOCK_SKEW_MINUTES)
    return max(ahead, datetime.combine(now.date(), time.max, UTC))


def _latest_of(text: str, now: datetime) -> datetime:
    if len(text) == len(FIRST_DAY):
        return midnight(now.date() + timedelta(days=DAYS_AHEAD))
    return latest(now)


def beyond_64_bits(number: float) -> bool:
    """Whether a number in place of an id, written with a fraction or a power, is out of range.

    A smaller one is of another type. BigQuery's JSON has what is beyond 64 bits as floats only, so
    that there it cannot be told how such a number was written.
    """
    return abs(number) >= 2**63


def midnight(day: date) -> datetime:
    """The first instant of a UTC day."""
    return datetime.combine(day, time(), UTC)


def _utc(text: str, zone: tzinfo) -> datetime | None:
    """A time in UTC; None for anything that is not written as such, or not in the calendar."""
    if not _IS_TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text.removesuffix(" UTC") + "Z" * text.endswith(" UTC"))
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC if len(text) == len(FIRST_DAY) else zone)
        return at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
