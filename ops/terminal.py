"""How the operator's commands print: hostile text, columns, counted words.

Belongs here: text to text. Does not: what is printed (one module per command).
"""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """``text`` with everything that could move a terminal's cursor spelled out."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their longest cell; the last one is not padded."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def counted(number: int, one: str, more: str) -> str:
    """``1 batch``, ``2,000 batches``."""
    return f"{number:,} {one if number == 1 else more}"
