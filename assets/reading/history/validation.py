"""What a file of reading history must be.

Belongs here: what the history supplies to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), formats and rules (``formats.py``, ``rows.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.validation import FactRules


def read_history(stream: BinaryIO, _version: ObjectVersion | None = None) -> Iterator[Chunk]:
    """Validated chunks of one file. Raises UnreadableObject (``bad_header``, ``bad_gzip``)."""
    from assets.reading.history.formats import read_history_records
    from assets.reading.history.rows import validated

    now = datetime.now(UTC)
    for kind, chunk in read_history_records(stream):
        yield validated(kind, chunk, now)


def rules() -> FactRules:
    """What the history supplies to the shared validation: its rows are facts."""
    from assets.formats.csv_rules import CSV_REASONS
    from assets.formats.gzipped import GZIP_REASONS
    from assets.reading.pipeline import HISTORY
    from assets.reading.reasons import VALUE_REASONS
    from assets.reading.tables import HISTORY_FIELDS
    from landing.batch.validation import FactRules

    return FactRules(
        name=HISTORY.pipeline,
        columns=HISTORY_FIELDS,
        sinks=HISTORY.sinks,
        read=read_history,
        reasons=(*GZIP_REASONS, *CSV_REASONS, *VALUE_REASONS),
    )
