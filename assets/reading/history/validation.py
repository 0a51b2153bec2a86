"""What a file of reading history must be.

Belongs here: what the history supplies to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), formats and rules (``formats.py``, ``rows.py``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, BinaryIO

from assets.reading.kinds import CATEGORIES

if TYPE_CHECKING:
    import polars as pl

    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.validation import FactRules


def read_history(stream: BinaryIO, _version: ObjectVersion | None = None) -> Iterator[Chunk]:
    """Validated chunks of one file, each while the one before is written.

    Raises UnreadableObject (``bad_header``, ``bad_gzip``).
    """
    from assets.formats.ahead import one_ahead

    return one_ahead(_validated(stream))


def _validated(stream: BinaryIO) -> Generator[Chunk]:
    from assets.reading.history.formats import read_history_records
    from assets.reading.history.rows import usual, validated
    from assets.reading.settings import ReadingSettings

    now, zone = datetime.now(UTC), ReadingSettings.current().time_zone
    for kind, chunk in read_history_records(stream, partial(usual, now=now, zone=zone)):
        yield validated(kind, chunk, now, zone)


def tally(rows: pl.DataFrame) -> Counter[str]:
    """Validated rows by what they change: events by their day (UTC, ISO 8601), and CATEGORIES."""
    days = rows.get_column("updated_at").dt.date().value_counts()
    found = {day: count for day, count in days.iter_rows() if day}
    categories = rows.height - sum(found.values())
    return Counter({day.isoformat(): count for day, count in found.items()}) + Counter(
        {CATEGORIES.name: categories}
    )


def rules() -> FactRules:
    """What the history supplies to the shared validation: its rows are facts."""
    from assets.formats.csv_rules import CSV_REASONS
    from assets.reading.pipeline import HISTORY
    from assets.reading.reasons import VALUE_REASONS
    from assets.reading.tables import HISTORY_FIELDS
    from landing.batch.validation import FactRules

    return FactRules(
        name=HISTORY.pipeline,
        columns=HISTORY_FIELDS,
        sinks=HISTORY.sinks,
        read=read_history,
        reasons=(*CSV_REASONS, *VALUE_REASONS),
        tally=tally,
    )
