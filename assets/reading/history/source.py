"""The reading history's source: which objects of which bucket start the history job.

Belongs here: the declaration. Does not: what happens to the objects.
"""

from __future__ import annotations

import re

from assets.reading.pipeline import PIPELINE, SINKS
from landing.arrival.source import Source


def history_source(bucket: str, prefix: str) -> Source:
    """CSV files under ``prefix`` of the GCS bucket, compressed or not, whatever their case."""
    return Source(
        name="reading_history_gcs",
        pipeline=PIPELINE,
        store="gcs",
        bucket=bucket,
        prefix=prefix,
        pattern=re.compile(re.escape(prefix) + r".*\.(?i:csv(\.gz)?)", re.DOTALL),
        sinks=SINKS,
    )
