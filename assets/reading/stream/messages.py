"""What a message of the two topics says, or why it cannot be taken.

Belongs here: reading JSON. Does not: what a value must be (``rules.py``), what is done with a
message that is not taken (``rejects.py``). Imported lazily: needs msgspec.

A message is one JSON object in UTF-8; members that are not named here are ignored, whatever they
hold, and of two members of one name the last counts. The old systems wrote pratilipi_id for
content_id. Ids are whole numbers of 64 bits with their sign, and never go through a float. What not
every reader of JSON takes is none: NaN, a number that no float holds in a member that counts,
half of a surrogate pair.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any

import msgspec

from assets.reading.kinds import Kind
from assets.reading.rules import (
    INT64,
    JSON_TYPES,
    MAX_BYTES,
    Reason,
    Rejection,
    Row,
    beyond_64_bits,
)

_OLDER = {"content_id": "pratilipi_id"}
_JSON_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number with a fraction",
    str: "string",
    list: "array",
    dict: "object",
}


def parse(kind: Kind, data: bytes, published: datetime, zone: tzinfo = UTC) -> Row | Rejection:
    """The row of a message that was published at ``published`` (UTC), or why there is none.

    Times without an offset are of the ``zone``.
    """
    if len(data) > MAX_BYTES:
        return Rejection("too_long", f"the message has {len(data)} bytes")
    exact, tolerant, older = _decoders(kind)
    for decode in (exact, tolerant):
        values = _tried(lambda: msgspec.structs.astuple(decode(data)))  # noqa: B023  called here
        row = kind.accept(*values, published, zone) if values else None
        if row is not None and not isinstance(row, Rejection):
            return row
    if b"pratilipi_id" in data:
        document = _tried(lambda: _document(data))
        if isinstance(document, dict) and not document.keys() & {"content_id"}:
            tolerant = older
    # The decoders take numbers that no float holds for an id.
    values = _tried(lambda: _document(data) and msgspec.structs.astuple(tolerant(data)))
    return kind.accept(*values, published, zone) if values else _explained(kind, data)


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


@cache
def _decoders(kind: Kind) -> tuple[Callable[[bytes], msgspec.Struct], ...]:
    """For messages of the kind's own members, for those with others, and for older names."""
    members = [(field.name, JSON_TYPES[field.type]) for field in kind.fields]
    shapes: tuple[dict[str, Any], ...] = ({"forbid_unknown_fields": True}, {}, {"rename": _OLDER})
    return tuple(
        msgspec.json.Decoder(msgspec.defstruct(kind.name, members, **shape)).decode
        for shape in shapes
    )


def _explained(kind: Kind, data: bytes) -> Rejection:
    """Why the strict decoder refused a message: the slow way, which few messages go."""
    try:
        document = _document(data)
    except (ValueError, RecursionError) as error:
        return Rejection("not_json", f"{error}"[:200])
    if not isinstance(document, dict):
        return Rejection("not_an_object", f"a JSON {_JSON_NAMES[type(document)]}")
    for name, older in _OLDER.items():
        if older in document:
            document.setdefault(name, document[older])
    defects = dict(reversed(list(_defects(kind, document))))
    for reason in ("missing_field", "wrong_type", "out_of_range"):
        if reason in defects:
            return Rejection(reason, defects[reason])
    # The two readers disagree, about halves of surrogate pairs for one.
    return Rejection("not_json", "not text that every JSON reader takes")


def _document(data: bytes) -> Any:
    """Raises ValueError and RecursionError."""
    return json.loads(
        data.decode("utf-8"), parse_constant=_number, parse_float=_number, parse_int=_integer
    )


def _defects(kind: Kind, document: dict[str, Any]) -> Iterator[tuple[Reason, str]]:
    for field in kind.fields:
        name, value = field.name, document.get(field.name)
        if name not in document:
            yield "missing_field", f"there is no {name}"
        elif field.type == "timestamptz" and value == "":
            yield "missing_field", f"{name} is empty"
        elif field.type == "bigint" and _out_of_range(value):
            yield "out_of_range", f"{name} is no number of 64 bits"
        elif not _fits(value, JSON_TYPES[field.type]):
            yield "wrong_type", f"{name} is a JSON {_JSON_NAMES[type(value)]}"


def _out_of_range(value: Any) -> bool:
    if isinstance(value, float):
        return beyond_64_bits(value)
    return isinstance(value, int) and value not in INT64


def _fits(value: Any, wanted: type) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) if wanted is float else isinstance(value, wanted)


def _number(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:40]} is no number of JSON that every reader takes")
    return float(text)


def _integer(text: str) -> int:
    _number(text)
    return int(text)
