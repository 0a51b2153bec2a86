"""Validation of a batch of campaign events: what the thin asset calls.

Belongs here: what campaigns supply to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), CSV (``assets/formats/csv_records.py``), rules (``schema.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from assets.campaigns.pipeline import PIPELINE, SINKS

if TYPE_CHECKING:
    import logging

    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.validation import Pipeline, ValidationResult
    from landing.stores.base import ObjectStore
    from resources.postgres import PostgresResource


def read_events(stream: BinaryIO, _version: ObjectVersion) -> Iterator[Chunk]:
    """Validated chunks of one CSV object. Raises UnreadableObject (``bad_header``)."""
    from assets.campaigns.schema import COLUMNS, validated
    from assets.formats.csv_records import read_records

    for chunk in read_records(stream, COLUMNS, anchor="timestamp"):
        yield validated(chunk)


def pipeline() -> Pipeline:
    """What campaigns supply to the shared validation."""
    from assets.campaigns.schema import COLUMNS
    from landing.batch.validation import Pipeline

    return Pipeline(
        name=PIPELINE,
        key="record_id",
        event_time="timestamp",
        columns=(*COLUMNS, "row_hash", "message_hash"),
        attributes=("user_id", "campaign", "message_hash"),
        sinks=SINKS,
        read=read_events,
    )


def validate_batch(
    pg: PostgresResource,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    *,
    batch_id: str,
    run_id: str,
    log: logging.Logger,
) -> ValidationResult:
    """Validate a batch of campaign events into staging and quarantine.

    ``store`` is the campaigns bucket, ``quarantine_store`` the quarantine bucket. Errors are
    those of landing.batch.validation.validate.
    """
    from landing.batch.validation import validate

    return validate(
        pg, store, quarantine_store, pipeline(), batch_id=batch_id, run_id=run_id, log=log
    )
