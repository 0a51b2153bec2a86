"""Single values as files give them: text, ids, numbers, cleaned or refused with a reason.

Belongs here: what holds for a value whatever it means. Does not: ranges and columns (a pipeline's),
whole columns of a frame.
"""

from __future__ import annotations

import math
import re

#: Digits that a float would not keep all of.
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_ID = re.compile(r"[!-~]{1,100}")
#: Bytes of UTF-8 that a text has at most unless it is told otherwise.
TEXT_BYTES = 8 * 1024
#: How R, numpy and others write that there is no number.
_NO_NUMBER = frozenset({"", "na", "nan", "none", "null"})


class BadValueError(Exception):
    """A value that cannot be: the row is rejected with ``reason`` and ``detail``."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:500]


def text(column: str, value: object, *, limit: int = TEXT_BYTES) -> str | None:
    """Without NULs, lines ended by LF, stripped; None for what is then empty.

    Bytes must be UTF-8 (``bad_encoding``); ``limit`` is in bytes (``too_long``).
    """
    if value is None:
        return None
    if isinstance(value, bytes):
        value = _decoded(column, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise BadValueError("bad_text", f"{column} is a {type(value).__name__}")
    if "\x00" in value:
        value = value.replace("\x00", "")
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    value = value.strip()
    size = len(value) if value.isascii() else _utf8_size(column, value)
    if size > limit:
        raise BadValueError("too_long", f"{column} has {size} bytes, at most {limit}")
    return value or None


def identifier(column: str, value: object) -> str | None:
    """An id: 1 to 100 printable ASCII characters without white space, else ``bad_id``."""
    found = text(column, value)
    if found is not None and not _ID.fullmatch(found):
        raise BadValueError("bad_id", f"{column} is {found[:100]!r}")
    return found


def number(column: str, value: object) -> float | None:
    """A finite number from a number or its decimal text; ``bad_number`` for anything else."""
    if isinstance(value, str):
        value = _parsed(column, value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValueError("bad_number", f"{column} is {value!r:.100}")
    try:
        found = float(value)
    except OverflowError as error:
        raise BadValueError("bad_number", f"{column} is too large") from error
    if math.isnan(found):
        return None
    if math.isinf(found):
        raise BadValueError("bad_number", f"{column} is {found}")
    return found


def integer(column: str, value: object) -> int | None:
    """A whole number, also when given as a float (6.0); ``bad_number`` for 6.5."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = number(column, value)
    if found is None:
        return None
    if not found.is_integer():
        raise BadValueError("bad_number", f"{column} is {found}, not a whole number")
    return int(found)


def _decoded(column: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise BadValueError(
            "bad_encoding", f"{column}: {error.reason} at byte {error.start}"
        ) from error


def _utf8_size(column: str, value: str) -> int:
    try:
        return len(value.encode())
    except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can escape
        raise BadValueError("bad_encoding", f"{column}: lone surrogate") from error


def _parsed(column: str, value: str) -> float | None:
    try:
        found = float(value)
    except ValueError:
        if value.strip().lower() in _NO_NUMBER:
            return None
        raise BadValueError("bad_number", f"{column} is {value[:100]!r}") from None
    # Python also takes 1_000 and digits of other scripts.
    if "_" in value or not value.isascii():
        raise BadValueError("bad_number", f"{column} is {value[:100]!r}")
    return found
