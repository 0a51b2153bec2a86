"""The music source: which objects of which bucket start the pipeline.

Belongs here: the declaration. Does not: what happens to the objects.
"""

from __future__ import annotations

import re

from assets.music.pipeline import PIPELINE, SINKS
from landing.arrival.source import Source

#: Most steps follow each other; only what is searched is written side by side, and a file of HDF5
#: has a thousand times the bytes of a row. Bytes.
LARGE_BYTES = 64 * 1024 * 1024


def music_source(bucket: str, prefix: str) -> Source:
    """Every object under ``prefix`` of the MinIO bucket: the format is found from the content."""
    return Source(
        name="music_minio",
        pipeline=PIPELINE,
        store="minio",
        bucket=bucket,
        prefix=prefix,
        pattern=re.compile(re.escape(prefix) + r".*", re.DOTALL),
        sinks=SINKS,
        large_bytes=LARGE_BYTES,
    )
