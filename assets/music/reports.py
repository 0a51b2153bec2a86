"""What music shows of a validated batch, and of the raw bucket.

Belongs here: from results to what Dagster displays. Does not: validation, and what every pipeline
of files shows (``assets/frame/reports.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.frame import reports as batch_reports

if TYPE_CHECKING:
    from assets.music.raw_removals import Removals
    from assets.music.settings import MusicSettings
    from landing.batch.validation import ValidationResult

_PREVIEW = ("record_key", "title", "artist_name", "album", "year", "genre", "tempo", "source")


def validation_metadata(
    result: ValidationResult, formats: Mapping[str, int], music: MusicSettings
) -> dict[str, Any]:
    """Figures that the UI plots, rows by format, reasons, a preview of at most 10 rows."""
    preview = ([row[name] for name in _PREVIEW] for row in result.preview)
    metadata: dict[str, Any] = {
        **batch_reports.figures(result),
        **{f"rows_{name}": count for name, count in sorted(formats.items())},
        "preview": dg.MetadataValue.md(markdown.table(_PREVIEW, preview)),
    }
    if result.parts:
        metadata["staged"] = dg.MetadataValue.text(
            f"s3://{music.processed_bucket}/{result.parts[0].key.rpartition('/')[0]}/"
        )
    if result.quarantine_key:
        metadata["quarantine"] = dg.MetadataValue.text(
            f"s3://{music.quarantine_bucket}/{result.quarantine_key} "
            f"(make quarantine BATCH={result.batch_id})"
        )
    return metadata


def removal_metadata(removals: Removals) -> dict[str, Any]:
    """What became of archived objects in the raw bucket."""
    return {
        "removed": removals.removed,
        "replaced": removals.replaced,
        "absent": removals.absent,
        "unsafe": removals.unsafe,
        "seconds": round(removals.seconds, 3),
    }
