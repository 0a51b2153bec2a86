"""What a batch of images shows: statuses, formats, sizes.

Belongs here: counting a batch's own rows, never those of a million others. Does not: any write.
Imported lazily: needs polars.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import dagster as dg
import polars as pl  # noqa: TID253

from assets.frame import markdown
from assets.images.tables import IMAGE, STATUSES

#: Refused images that are shown.
_SHOWN = 10


def inventory_metadata(chunks: Iterable[pl.DataFrame]) -> dict[str, Any]:
    """Images by status, format and mode, bytes, and the first that cannot be worked on."""
    counts: Counter[str] = Counter()
    size, refused = 0, pl.DataFrame()
    for chunk in chunks:
        size += int(chunk["size"].sum())
        for column in ("status", "format", "mode"):
            for value, count in chunk[column].value_counts().iter_rows():
                if value is not None:
                    counts[f"{column}_{value.lower()}"] += count
        if refused.height < _SHOWN:
            bad = chunk.filter(pl.col("status") != "ok").select("key", "status", "detail")
            refused = pl.concat([refused, bad], how="diagonal").head(_SHOWN)
    metadata: dict[str, Any] = {
        "dagster/table_name": IMAGE.qualified,
        "dagster/column_lineage": IMAGE.column_lineage(),
        "bytes": size,
        **{f"status_{status}": 0 for status in STATUSES},
        **dict(sorted(counts.items())),
    }
    if refused.height:
        table = markdown.table(("object", "status", "why"), refused.rows())
        metadata["not_to_be_worked_on"] = dg.MetadataValue.md(table)
    return metadata
