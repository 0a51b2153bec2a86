"""The campaigns source: which objects of which bucket start the pipeline.

Belongs here: the declaration. Does not: what happens to the objects.
"""

from __future__ import annotations

import re

from assets.campaigns.pipeline import PIPELINE, SINKS
from landing.arrival.source import Source


def campaigns_source(bucket: str, prefix: str) -> Source:
    """CSV files under ``prefix`` of the GCS bucket, at any depth, whatever their names' case."""
    return Source(
        name="campaigns_gcs",
        pipeline=PIPELINE,
        store="gcs",
        bucket=bucket,
        prefix=prefix,
        pattern=re.compile(re.escape(prefix) + r".*\.(?i:csv)", re.DOTALL),
        sinks=SINKS,
    )
