"""What a file of campaign events must be.

Belongs here: what campaigns supply to the shared validation. Does not: the steps themselves
(``landing/batch/validation.py``), CSV (``assets/formats/csv_records.py``), rules (``rules.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from landing.arrival.identity import ObjectVersion
    from landing.batch.chunks import Chunk
    from landing.batch.validation import RecordRules


def read_events(stream: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    """Validated chunks of one CSV object. Raises UnreadableObject as read_records does."""
    from assets.campaigns.rules import COLUMNS, validated
    from assets.formats.csv_records import read_records

    for chunk in read_records(stream, COLUMNS):
        yield validated(chunk, version.modified_at)


def rules() -> RecordRules:
    """What campaigns supply to the shared validation."""
    from assets.campaigns.pipeline import CAMPAIGNS
    from assets.campaigns.rules import COLUMNS, RULES
    from assets.formats.csv_rules import CSV_REASONS
    from landing.batch.validation import RecordRules

    return RecordRules(
        name=CAMPAIGNS.pipeline,
        key="record_id",
        event_time="timestamp",
        columns=(*COLUMNS, "row_hash", "message_hash"),
        attributes=("user_id", "campaign", "message_hash"),
        sinks=CAMPAIGNS.sinks,
        read=read_events,
        reasons=(*CSV_REASONS, *(rule.reason for rule in RULES)),
    )
