"""What the history shows of a validated batch.

Belongs here: from results to what Dagster displays. Does not: validation, and what every pipeline
of files shows (``assets/frame/reports.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.frame import reports as batch_reports

if TYPE_CHECKING:
    from assets.reading.settings import ReadingSettings
    from landing.batch.validation import ValidationResult

_PREVIEW = ("user_id", "content_id", "read_percent", "updated_at", "category_name", "line")


def validation_metadata(result: ValidationResult, reading: ReadingSettings) -> dict[str, Any]:
    """Figures that the UI plots, reasons, a preview of at most 10 rows."""
    rows = ([row[column] for column in _PREVIEW] for row in result.preview)
    metadata: dict[str, Any] = {
        **batch_reports.figures(result),
        "preview": dg.MetadataValue.md(markdown.table(_PREVIEW, rows)),
    }
    if result.quarantine_key:
        metadata["quarantine"] = dg.MetadataValue.text(
            f"gs://{reading.quarantine_bucket}/{result.quarantine_key} "
            f"(make quarantine BATCH={result.batch_id})"
        )
    return metadata
