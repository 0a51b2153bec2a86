"""What a message of the two topics says, or why it cannot be taken.

Belongs here: the formats and the rules of the values, without any I/O. Does not: what is done with
a message that is not taken (``rejects.py``). Imported lazily: needs msgspec.

A message is one JSON object in UTF-8; members that are not named here are ignored, and of two
members of one name the last counts. Ids are whole numbers of 64 bits with their sign, and never go
through a float.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

from assets.reading.pipeline import FIRST_DAY

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

#: Bytes of a whole message; what is larger is no event.
MAX_BYTES = 64 * 1024
#: Characters of a category's name.
MAX_CATEGORY = 200
#: How far a publisher's clock may be ahead of Pub/Sub's.
CLOCK_SKEW = timedelta(minutes=5)

_MIN_INT64, _MAX_INT64 = -(2**63), 2**63 - 1
_FIRST = datetime.fromisoformat(f"{FIRST_DAY}T00:00:00+00:00")
#: The day alone, or with a time to the minute at least, six digits of a second at most, and an
#: offset where the time is not UTC.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII
)


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
    """Why a message cannot be taken: a code to count by, and words for a person."""

    reason: Reason
    detail: str


class _Event(msgspec.Struct):
    user_id: int
    content_id: int
    read_percent: float
    updated_at: str


class _Meta(msgspec.Struct):
    content_id: int
    category_name: str


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_meta = msgspec.json.Decoder(_Meta).decode


def parse_interaction(data: bytes, published: datetime) -> Interaction | Rejection:
    """The event of a message of ``user-interaction`` that was published at ``published`` (UTC).

    ``read_percent`` has no upper bound, for readers come back to a text; it is finite and not
    negative. An event of a later day than ``published`` is rejected, and one before 2000.
    """
    if len(data) > MAX_BYTES:
        return _too_large(data)
    try:
        event = _decode_event(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _explain(data, _Event)
    time = parse_time(event.updated_at)
    wrong = _wrong_number(event) or _wrong_time(event, time, published)
    if wrong is not None:
        return wrong
    assert time is not None  # noqa: S101  _wrong_time would have said so
    # Adding zero makes -0.0 what it equals.
    return Interaction(event.user_id, event.content_id, event.read_percent + 0.0, time)


def _wrong_number(event: _Event) -> Rejection | None:
    if not _MIN_INT64 <= event.user_id <= _MAX_INT64:
        return Rejection("out_of_range", "user_id is no number of 64 bits")
    if not _MIN_INT64 <= event.content_id <= _MAX_INT64:
        return Rejection("out_of_range", "content_id is no number of 64 bits")
    if not 0.0 <= event.read_percent < math.inf:
        return Rejection("out_of_range", f"read_percent is {event.read_percent}")
    return None


def _wrong_time(event: _Event, time: datetime | None, published: datetime) -> Rejection | None:
    if time is not None and time >= _FIRST and not is_future(time, published):
        return None
    detail = f"updated_at is {event.updated_at[:40]!r}"
    if time is None:
        return Rejection("bad_date", detail)
    if time < _FIRST:
        return Rejection("before_2000", detail)
    return Rejection("future_date", f"{detail}, published {published:%F %T}")


def parse_category(data: bytes, _published: datetime) -> Category | Rejection:
    """The category of a message of ``content-meta``; its name without blanks around it, in NFC."""
    if len(data) > MAX_BYTES:
        return _too_large(data)
    try:
        meta = _decode_meta(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _explain(data, _Meta)
    if not _MIN_INT64 <= meta.content_id <= _MAX_INT64:
        return Rejection("out_of_range", "content_id is no number of 64 bits")
    name = unicodedata.normalize("NFC", meta.category_name).strip()
    if not name:
        return Rejection("empty", "category_name is empty")
    if len(name) > MAX_CATEGORY:
        return Rejection("too_long", f"category_name has {len(name)} characters")
    return Category(meta.content_id, name)


def parse_time(text: str) -> datetime | None:
    """A time in UTC; a day alone is its midnight, a time without an offset is UTC.

    None for anything that is not written as such, or that is not in the calendar.
    """
    if not _TIME.fullmatch(text):
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_future(time: datetime, now: datetime) -> bool:
    """Whether an event of ``time`` cannot have happened ``now``, clocks being what they are."""
    return time > now + CLOCK_SKEW and time.date() > now.date()


def _explain(data: bytes, kind: type[msgspec.Struct]) -> Rejection:
    """Why the strict decoder refused a message: the slow way, which few messages go."""
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return Rejection("not_json", f"{error}"[:200])
    if not isinstance(document, dict):
        return Rejection("not_an_object", f"a JSON {_json_type(document)}")
    fields = msgspec.structs.fields(kind)
    for explain in (_missing, _mistyped, _too_big):
        for field in fields:
            if detail := explain(document, field.name, field.type):
                return Rejection(_EXPLAINED[explain], detail)
    # The two readers disagree, about halves of surrogate pairs for one.
    return Rejection("not_json", "not text that every JSON reader takes")


def _missing(document: dict[str, Any], name: str, _wanted: Any) -> str | None:
    return None if name in document else f"there is no {name}"


def _mistyped(document: dict[str, Any], name: str, wanted: Any) -> str | None:
    value = document[name]
    return None if _fits(value, wanted) else f"{name} is a JSON {_json_type(value)}"


def _too_big(document: dict[str, Any], name: str, wanted: Any) -> str | None:
    value = document[name]
    if wanted is int and not _MIN_INT64 <= value <= _MAX_INT64:
        return f"{name} is no number of 64 bits"
    return f"{name} is too large" if wanted is float and not _finite(value) else None


_EXPLAINED: dict[Any, Reason] = {
    _missing: "missing_field",
    _mistyped: "wrong_type",
    _too_big: "out_of_range",
}


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) if wanted is float else isinstance(value, wanted)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "object")


_JSON_TYPES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number with a fraction",
    str: "string",
    list: "array",
}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _too_large(data: bytes) -> Rejection:
    return Rejection("too_long", f"the message has {len(data)} bytes")
