"""What a catalogue's file must be, for the shared validation.

Belongs here: what the catalogue supplies to it. Does not: the rules (``rules.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from assets.images.catalogue.rules import REASONS, STAGED, read_products
from assets.images.pipeline import CATALOGUE
from landing.batch.validation import RecordRules


def rules() -> RecordRules:
    """A product carries no time of its own: the object that arrived later says what it is."""
    return RecordRules(
        name=CATALOGUE.pipeline,
        key="id",
        event_time=None,
        columns=STAGED,
        attributes=(),
        sinks=CATALOGUE.sinks,
        read=read_products,
        reasons=REASONS,
        records=CATALOGUE.records,
    )
