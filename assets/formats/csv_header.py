"""The first line of a CSV file: which columns there are, and in what order.

Belongs here: comparing it with the columns that are asked for. Does not: finding it
(``csv_lines.py``), any pipeline's columns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from landing.batch.chunks import UnreadableObject, original_text


@dataclass(frozen=True, slots=True)
class Expected:
    """What the first line must say, and how records are told; see csv_records.read_records."""

    columns: tuple[str, ...]
    anchor: str
    anchor_value: re.Pattern[bytes]
    named: Callable[[list[str]], Sequence[str]]
    spilling: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """The columns that are asked for, and all of them in the file's order.

    ``spills`` where fields beyond the last column are a part of it, ``marked`` where records say
    in a column ``repaired`` whether they had any.
    """

    columns: tuple[str, ...]
    order: tuple[str, ...]
    anchor_at: int
    anchor_value: re.Pattern[bytes]
    spills: bool = False
    marked: bool = False


def accepted(line: bytes, expected: Expected) -> Header:
    """What the line says. Raises UnreadableObject (``bad_header``) when it is not as expected."""
    text = original_text(line)
    try:
        fields = next(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableObject("bad_header", str(error), text) from error
    names = expected.named([name.strip() for name in fields])
    columns = expected.columns
    if sorted(names) != sorted(columns):
        missing, unknown = sorted(set(columns) - set(names)), sorted(set(names) - set(columns))
        detail = f"expected {', '.join(columns)}; missing {missing}, unknown {unknown}"
        raise UnreadableObject("bad_header", detail[:500], text)
    anchor_at = names.index(expected.anchor)
    spilling = expected.spilling
    return Header(
        columns,
        tuple(names),
        anchor_at,
        expected.anchor_value,
        spills=names[-1] == spilling,
        marked=spilling is not None,
    )
