"""Rows of one object on their way into a chunk: records and rejects.

Belongs here: building the frames. Does not: any format, nor the rules (``fields.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import polars as pl  # noqa: TID253

from assets.music.bronze.fields import BAD_VALUES
from assets.music.bronze.records import SCHEMA, with_hash
from landing.batch.chunks import REJECT_SCHEMA, Chunk, original_text

#: A chunk is closed at this many rows or bytes of original text.
CHUNK_ROWS = 2_000
CHUNK_BYTES = 4 * 1024 * 1024

#: As REJECT_SCHEMA: line, reason, detail, text, whether the text was cut.
Reject = tuple[int, str, str, str, bool]

_NO_ROWS = pl.DataFrame(schema={**SCHEMA, "line": pl.Int64, "text": pl.String})
_NO_REJECTS = pl.DataFrame(schema=REJECT_SCHEMA)


class Rows:
    """Collects rows in line order until they are taken as a chunk."""

    def __init__(self) -> None:
        self._records: list[dict[str, Any]] = []
        self._lines: list[int] = []
        self._texts: list[str] = []
        self._rejects: list[Reject] = []
        self._bad: Counter[str] = Counter()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._records) + len(self._rejects)

    @property
    def full(self) -> bool:
        """Whether it is time to take the chunk."""
        return len(self) >= CHUNK_ROWS or self._bytes >= CHUNK_BYTES

    def accept(self, line: int, record: dict[str, Any], text: str) -> None:
        """A good row: columns of records.SCHEMA that have a value, and BAD_VALUES."""
        self._bad.update(record.pop(BAD_VALUES, ()))
        self._records.append(record)
        self._lines.append(line)
        self._texts.append(text)
        self._bytes += len(text)

    def reject(self, line: int, reason: str, detail: str, raw: bytes) -> None:
        """A bad row; ``raw`` is the original, of which the beginning is kept."""
        text, cut = original_text(raw)
        self._rejects.append((line, reason, detail, text, cut))
        self._bytes += len(text)

    def take(self) -> Chunk:
        """The chunk, all of whose lines are rows; the collection is empty afterwards."""
        accepted = frame(self._records, self._lines, self._texts)
        notes = noted(self._bad)
        chunk = Chunk(accepted, reject_frame(self._rejects), lines=len(self), notes=notes)
        self._bad = Counter()
        self._records, self._lines, self._texts, self._rejects = [], [], [], []
        self._bytes = 0
        return chunk


def noted(bad: Counter[str]) -> dict[str, int]:
    """What is noted of values that could not be, by their columns."""
    return {f"no such {name}": count for name, count in bad.items()}


def frame(
    records: Sequence[dict[str, Any]],
    lines: Sequence[int],
    texts: Sequence[str],
    *columns: pl.Series,
) -> pl.DataFrame:
    """Records with their hash, ``line`` and ``text``; ``columns`` replace those of their name."""
    if not records:
        return _NO_ROWS.clone()
    rows = pl.DataFrame(records, schema=SCHEMA)
    for column in columns:
        rows.replace_column(rows.get_column_index(column.name), column)
    rows = with_hash(rows)
    rows.insert_column(rows.width, pl.Series("line", lines, dtype=pl.Int64))
    rows.insert_column(rows.width, pl.Series("text", texts, dtype=pl.String))
    return rows


def reject_frame(rejects: Sequence[Reject]) -> pl.DataFrame:
    """Rejects in the order given."""
    if not rejects:
        return _NO_REJECTS.clone()
    return pl.DataFrame(rejects, schema=REJECT_SCHEMA, orient="row")
