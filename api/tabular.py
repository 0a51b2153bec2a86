"""Rows as CSV and NDJSON, each file with a last line that says that it is whole. Pure.

Belongs here: how values are spelled. Does not: sending (``downloads.py``), which rows.

CSV, as RFC 4180 has it but with LF: a header, a line per row, and ``#complete,<rows>`` with as many
fields as the others. Null is an empty field, an empty text is ``""``. A text that a spreadsheet
would run as a formula, or that begins as that last line does, has ``'`` before it; so has one that
begins with ``'``, so that taking one ``'`` away from the front gives every text back. Lists and
objects are JSON.

NDJSON: an object per row, texts as they are, and ``{"complete":true,"rows":<rows>}`` at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

Format = Literal["csv", "ndjson"]
MEDIA_TYPES: dict[Format, str] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}

#: What spreadsheets take for the beginning of a formula, the wide forms of it, the last line's
#: mark, and the sign that is put before all of these.
_GUARDED = tuple("=+-@\t\r\n'#\uff1d\uff0b\uff0d\uff20")
_QUOTED = frozenset(',"\r\n')
_JSON = msgspec.json.Encoder(decimal_format="number")


def csv_header(columns: Sequence[str]) -> bytes:
    """The first line."""
    return (",".join(map(csv_field, columns)) + "\n").encode()


def csv_rows(_columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """A line for each row."""
    return "".join(",".join(map(csv_field, row)) + "\n" for row in rows).encode()


def csv_end(columns: Sequence[str], rows: int) -> bytes:
    """The last line of a whole file."""
    fields = ["#complete", str(rows), *[""] * (len(columns) - 2)]
    return (",".join(fields) + "\n").encode()


def csv_field(value: Any) -> str:
    """One value, quoted where it must be."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return _moment(value)
    text = value if isinstance(value, str) else _JSON.encode(value).decode()
    if text.startswith(_GUARDED):
        text = "'" + text
    if not text or text[0] == " " or text[-1] == " " or not _QUOTED.isdisjoint(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _moment(value: datetime | date) -> str:
    """As the service's JSON has it: UTC is Z."""
    text = value.isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def unguarded(text: str) -> str:
    """A text of a CSV file as it was before it was written."""
    return text.removeprefix("'")


def ndjson_header(_columns: Sequence[str]) -> bytes:
    """Nothing: every line names its values."""
    return b""


def ndjson_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """An object for each row. What is no finite number is null, as JSON has none."""
    return b"".join(
        _JSON.encode({name: _in_json(value) for name, value in zip(columns, row, strict=True)})
        + b"\n"
        for row in rows
    )


def ndjson_end(_columns: Sequence[str], rows: int) -> bytes:
    """The last line of a whole file."""
    return _JSON.encode({"complete": True, "rows": rows}) + b"\n"


def _in_json(value: Any) -> Any:
    """As the pages of a list have it."""
    if isinstance(value, datetime | date):
        return _moment(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


Header = Callable[[Sequence[str]], bytes]
Rows = Callable[[Sequence[str], Iterable[Sequence[Any]]], bytes]
End = Callable[[Sequence[str], int], bytes]
WRITERS: dict[Format, tuple[Header, Rows, End]] = {
    "csv": (csv_header, csv_rows, csv_end),
    "ndjson": (ndjson_header, ndjson_rows, ndjson_end),
}
