"""What campaigns show of a validated batch, and of recommendations.

Belongs here: from results to what Dagster displays. Does not: validation, and what every pipeline
of files shows (``assets/frame/reports.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.frame import reports as batch_reports

if TYPE_CHECKING:
    from assets.campaigns.recommendation_table import Kept
    from assets.campaigns.settings import CampaignsSettings
    from landing.batch.validation import ValidationResult

_PREVIEW = ("record_id", "user_id", "message", "campaign", "timestamp", "line")


def validation_metadata(result: ValidationResult, campaigns: CampaignsSettings) -> dict[str, Any]:
    """Figures that the UI plots, reasons, a preview of at most 10 rows."""
    metadata: dict[str, Any] = {
        **batch_reports.figures(result),
        "preview": dg.MetadataValue.md(_preview(result)),
    }
    if result.quarantine_key:
        metadata["quarantine"] = dg.MetadataValue.text(
            f"gs://{campaigns.quarantine_bucket}/{result.quarantine_key} "
            f"(make quarantine BATCH={result.batch_id})"
        )
    return metadata


def recommendation_metadata(kept: Kept, table: str) -> dict[str, Any]:
    """Counts, and at most 10 answers as a table."""
    lines = ["| user | most similar users | their campaigns (events) |", "|---|---|---|"]
    for one in kept.recommendations[:10]:
        similar = ", ".join(f"{markdown.cell(s.user_id)} ({s.score:.4f})" for s in one.similar)
        campaigns = ", ".join(f"{markdown.cell(c.campaign)} ({c.events})" for c in one.campaigns)
        lines.append(f"| {markdown.cell(one.user_id)} | {similar} | {campaigns} |")
    return {
        "dagster/table_name": table,
        "dagster/partition_row_count": kept.users,
        "users": kept.users,
        "left_out": kept.left_out,
        "removed": kept.removed,
        "tie_limit_reached": kept.tie_limit_reached,
        "seconds": round(kept.seconds, 3),
        "preview": dg.MetadataValue.md("\n".join(lines)),
    }


def _preview(result: ValidationResult) -> str:
    return markdown.table(_PREVIEW, ([row[c] for c in _PREVIEW] for row in result.preview))
