"""Update markers: objects on S3 that say by their name which month is to be reported.

Belongs here: what a batch of markers stages. Does not: which month one names (``months.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import polars as pl  # noqa: TID253

from assets.domains.tables import MARKERS
from assets.frame.table_frames import frame_schema
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA, Chunk
from landing.batch.validation import FactRules


def rules(sinks: tuple[str, ...]) -> FactRules:
    """Every marker is taken; nothing in it is read."""
    return FactRules("domains", MARKERS.names, sinks, _read, names_only=True)


def _read(_: BinaryIO, version: ObjectVersion) -> Iterator[Chunk]:
    row = {"marker": version.key, "written_at": version.modified_at, "bytes": version.size}
    frame = pl.DataFrame([row], schema=frame_schema(MARKERS), orient="row")
    line = pl.lit(1, pl.Int64).alias("line")
    yield Chunk(
        frame.with_columns(line, pl.lit("").alias("text")), pl.DataFrame(schema=REJECT_SCHEMA)
    )
