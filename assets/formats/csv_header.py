"""The first line of a CSV file: which columns there are, and in what order.

Belongs here: comparing it with the columns that are asked for. Does not: finding it
(``csv_lines.py``), the delimiter (``csv_dialect.py``), any pipeline's columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assets.formats.csv_dialect import cells
from landing.batch.chunks import UnreadableObject, original_text


def lowered(names: list[str]) -> list[str]:
    """Names of columns as they are compared unless a pipeline has other names for them."""
    return [name.lower() for name in names]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the first line must say; see csv_records.read_records."""

    columns: tuple[str, ...]
    named: Callable[[list[str]], Sequence[str]] = lowered
    spilling: str | None = None

    def names(self, fields: list[str]) -> Sequence[str]:
        """What the columns are called, from the first line's fields."""
        return self.named([field.strip() for field in fields])

    def known(self, fields: list[str]) -> int:
        """How many of the columns that are asked for are among them."""
        return len({*self.columns} & {*self.names(fields)})


@dataclass(frozen=True, slots=True)
class Header:
    """The columns that are asked for, and all of them in the file's order, each named once.

    ``spills`` where fields beyond the last column are a part of it, ``marked`` where records say
    in a column ``repaired`` whether they had any. ``ignored`` are the others as the file has them.
    """

    columns: tuple[str, ...]
    order: tuple[str, ...]
    spills: bool = False
    marked: bool = False
    ignored: tuple[str, ...] = ()


def accepted(line: bytes, expected: Expected) -> Header:
    """What the line says.

    Raises UnreadableObject (``bad_header``) when a column that is asked for is missing or there
    more than once.
    """
    fields = cells(line)
    names = list(expected.names(fields))
    count = Counter(names)
    missing = [name for name in expected.columns if not count[name]]
    repeated = [name for name in expected.columns if count[name] > 1]
    if missing or repeated:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"repeated: {', '.join(repeated)}"] if repeated else []
        raise UnreadableObject("bad_header", "; ".join(said)[:500], original_text(line))
    others = [at for at, name in enumerate(names) if name not in expected.columns]
    for at in others:
        names[at] = f"\0{at}"
    spilling = expected.spilling
    return Header(
        expected.columns,
        tuple(names),
        spills=names[-1] == spilling,
        marked=spilling is not None,
        ignored=tuple(fields[at].strip() for at in others),
    )
