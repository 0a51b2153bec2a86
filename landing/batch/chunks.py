"""What a pipeline's reader hands to the validation: chunks of an object's rows, and its refusal.

Belongs here: the shapes that every reader shares. Does not: any format.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl  # noqa: TID253

#: Bytes of original text that the quarantine keeps of a row.
TEXT_BYTES = 64 * 1024

#: ``text`` is the original, bytes that are no UTF-8 as ``\\xNN``, cut at TEXT_BYTES.
REJECT_SCHEMA = pl.Schema(
    {
        "line": pl.Int64,
        "reason": pl.String,
        "detail": pl.String,
        "text": pl.String,
        "truncated": pl.Boolean,
    }
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some consecutive rows of one object.

    ``accepted`` has the pipeline's columns, ``line`` (int64, the row's first line) and ``text``
    (the original); ``rejected`` has REJECT_SCHEMA. Both are in line order. ``lines`` counts the
    physical lines used up, ``blank_lines`` those among them that hold no row. ``notes`` say of the
    object what is not as usual and was read all the same, and how often.

    A record may stand for many rows of its object (a file of facts), ``stands_for`` so many: it is
    then the object's only one. ``superseded`` counts rows that later ones of the object replace.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    lines: int = 0
    blank_lines: int = 0
    notes: Mapping[str, int] = field(default_factory=dict)
    stands_for: int = 1
    superseded: int = 0


class UnreadableObject(Exception):
    """The object is not of the pipeline's format at all; it is rejected as a whole.

    ``text`` is the beginning of the object and whether it was cut.
    """

    def __init__(self, reason: str, detail: str, text: tuple[str, bool] = ("", False)) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.text = text

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[str, bool]]]:
        """Other processes may raise it: pickle would make it anew of its message."""
        return type(self), (self.reason, self.detail, self.text)


def original_text(raw: bytes) -> tuple[str, bool]:
    """Bytes as readable text without the line end, and whether it had to be cut."""
    cut = len(raw) > TEXT_BYTES
    text = raw[:TEXT_BYTES].decode(errors="backslashreplace")
    return text.removesuffix("\n").removesuffix("\r").replace("\x00", "\\x00"), cut


def cut_texts(rows: pl.DataFrame) -> pl.DataFrame:
    """``rows`` with ``text`` cut as :func:`original_text` does, and ``truncated``."""
    cut = pl.col("text").str.len_bytes() > TEXT_BYTES
    if not rows.select(cut.any()).item():
        return rows.with_columns(pl.lit(value=False).alias("truncated"))
    texts = [original_text(text.encode()) for text in rows.get_column("text")]
    return rows.with_columns(
        pl.Series("text", [text for text, _ in texts], dtype=pl.String),
        pl.Series("truncated", [was_cut for _, was_cut in texts], dtype=pl.Boolean),
    )
