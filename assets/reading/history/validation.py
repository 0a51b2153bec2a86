"""Validation of a batch of reading history: what the thin asset calls.

Belongs here: what the history supplies to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), formats and rules (``formats.py``, ``columns.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, BinaryIO

from assets.reading.pipeline import PIPELINE, SINKS

if TYPE_CHECKING:
    import logging

    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.validation import FactPipeline, ValidationResult
    from landing.stores.base import ObjectStore
    from resources.postgres import PostgresResource


def read_history(stream: BinaryIO, _version: ObjectVersion | None = None) -> Iterator[Chunk]:
    """Validated chunks of one file. Raises UnreadableObject (``bad_header``, ``bad_gzip``)."""
    from assets.reading.history.columns import validated
    from assets.reading.history.formats import read_history_records

    now = datetime.now(UTC)
    for kind, chunk in read_history_records(stream):
        yield validated(kind, chunk, now)


def pipeline() -> FactPipeline:
    """What the history supplies to the shared validation: its rows are facts."""
    from assets.reading.history.columns import SCHEMA
    from landing.batch.validation import FactPipeline

    return FactPipeline(name=PIPELINE, columns=tuple(SCHEMA), sinks=SINKS, read=read_history)


def validate_batch(
    pg: PostgresResource,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    *,
    batch_id: str,
    run_id: str,
    log: logging.Logger,
) -> ValidationResult:
    """Validate a batch of history files into staging and quarantine.

    ``store`` is the reading bucket, ``quarantine_store`` the quarantine bucket. Errors are those of
    landing.batch.validation.validate.
    """
    from landing.batch.validation import validate

    return validate(
        pg, store, quarantine_store, pipeline(), batch_id=batch_id, run_id=run_id, log=log
    )
