"""What a validated batch shows, whatever the pipeline.

Belongs here: from a result to what Dagster displays. Does not: checks (``checks.py``), validation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles
    from landing.batch.validation import ValidationResult

_OBJECTS_SHOWN = 20


def validation_metadata(files: LandedFiles, result: ValidationResult) -> dict[str, Any]:
    """Counts that the UI plots, outcomes of the first objects, a preview, and what to do next."""
    rows = ([row[column] for column in files.preview] for row in result.preview)
    metadata: dict[str, Any] = {
        **_figures(result),
        "preview": dg.MetadataValue.md(markdown.table(files.preview, rows)),
    }
    if result.overruled:
        metadata["superseded"] = dg.MetadataValue.json([asdict(one) for one in result.overruled])
    if result.quarantine_key:
        place = files.uri(files.places().quarantine_bucket, result.quarantine_key)
        metadata["quarantine"] = place
        metadata["rejects"] = dg.MetadataValue.md(
            f"`make quarantine BATCH={result.batch_id}` shows each row with its reason; "
            "`REPLAY=1` behind it lets them arrive again."
        )
    return metadata


def _told(notes: Mapping[str, int]) -> str:
    return "; ".join(
        note if count == 1 else f"{note} ({count:,} times)" for note, count in notes.items()
    )


def _figures(result: ValidationResult) -> dict[str, Any]:
    """Counts that the UI plots, the first objects with their outcomes, rejects by reason."""
    rows = result.rows
    metadata: dict[str, Any] = {
        "dagster/partition_row_count": result.staged_rows,
        "mode": result.mode,
        "objects": len(result.objects),
        "rows_read": rows.read,
        "rows_written": rows.written,
        "rows_unchanged": rows.unchanged,
        "rows_superseded": rows.superseded,
        "rows_rejected": rows.rejected,
        "seconds": round(result.seconds, 3),
        "rows_per_second": round(rows.read / result.seconds, 1) if result.seconds else 0.0,
        "landed": dg.MetadataValue.md(
            "\n".join(f"- `{o.uri}`: {o.outcome}" for o in result.objects[:_OBJECTS_SHOWN])
        ),
    }
    if result.withdrawn:
        metadata["records_withdrawn"] = result.withdrawn
    if result.notes:
        shown = list(result.notes.items())[:_OBJECTS_SHOWN]
        metadata["read_as"] = dg.MetadataValue.md(
            "\n".join(f"- `{uri}`: {_told(notes)}" for uri, notes in shown)
        )
        metadata["objects_read_as"] = len(result.notes)
    if result.reasons:
        metadata["rejected_by_reason"] = dg.MetadataValue.json(dict(result.reasons))
    return metadata
