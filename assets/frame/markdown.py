"""Tables of markdown for Dagster's metadata, of whatever text the data holds.

Belongs here: escaping and layout. Does not: what is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

#: Characters of a value that a cell shows.
CELL_TEXT = 60


def cell(value: Any) -> str:
    """One value on one line that can neither end its cell nor become markup; empty for None."""
    text = "" if value is None else str(value)
    return escaped(text if len(text) <= CELL_TEXT else text[: CELL_TEXT - 1] + "…")


def escaped(text: str) -> str:
    """A text on one line, without markup of its own."""
    for character in ("\\", "|", "`", "<", "["):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table of cells, one line per row; ``header`` is escaped too."""
    return "\n".join(
        [
            _line(header),
            "|" + "---|" * len(header),
            *(_line(row) for row in rows),
        ]
    )


def _line(values: Sequence[Any]) -> str:
    return "| " + " | ".join(cell(value) for value in values) + " |"
