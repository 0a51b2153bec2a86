"""What validation shows of a batch: its checks, its figures, a preview.

Belongs here: from results to what Dagster displays. Does not: validation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.campaigns.pipeline import REJECTED_SHARE, ROWS_BALANCE
from landing.counts import RowCounts

if TYPE_CHECKING:
    import psycopg

    from assets.campaigns.recommendation_table import Kept
    from assets.campaigns.settings import CampaignsSettings
    from landing.validation import ValidationResult

_BALANCE = """
SELECT coalesce(sum(rows_read), 0)::bigint, coalesce(sum(rows_written), 0)::bigint,
       coalesce(sum(rows_unchanged), 0)::bigint, coalesce(sum(rows_superseded), 0)::bigint,
       coalesce(sum(rows_rejected), 0)::bigint,
       count(*) FILTER (WHERE rows_read <> rows_written + rows_unchanged + rows_superseded
                                           + rows_rejected),
       count(*) FILTER (WHERE outcome IS NULL),
       count(*) FILTER (WHERE outcome = 'rejected')
FROM landing.object_version WHERE batch_id = %s
"""
_QUARANTINED = "SELECT coalesce(sum(rows), 0)::bigint FROM landing.quarantine WHERE batch_id = %s"

_PREVIEW = ("record_id", "user_id", "message", "campaign", "timestamp", "line")
_OBJECTS_SHOWN = 20
#: Characters of a message that the preview shows.
_PREVIEW_TEXT = 60


def rows_balance(connection: psycopg.Connection[Any], batch_id: str) -> dg.AssetCheckResult:
    """Whether the ledger's own rows of the batch add up, object by object and with quarantine."""
    row = connection.execute(_BALANCE, (batch_id,)).fetchone()
    held = connection.execute(_QUARANTINED, (batch_id,)).fetchone()
    read, written, unchanged, superseded, rejected, off, open_, objects = row or (0,) * 8
    quarantined = int(held[0]) if held else 0
    return dg.AssetCheckResult(
        check_name=ROWS_BALANCE,
        passed=(
            read == written + unchanged + superseded + rejected
            and not off
            and not open_
            # A rejected object is one entry of quarantine and no row.
            and quarantined == rejected + objects
        ),
        metadata={
            "rows_read": read,
            "rows_written": written,
            "rows_unchanged": unchanged,
            "rows_superseded": superseded,
            "rows_rejected": rejected,
            "quarantined": quarantined,
            "objects_rejected": objects,
            "objects_off_balance": off,
        },
    )


def rejected_share(rows: RowCounts, limit: float) -> dg.AssetCheckResult:
    """A warning when more than ``limit`` of the rows read were rejected."""
    share = rows.rejected / rows.read if rows.read else 0.0
    return dg.AssetCheckResult(
        check_name=REJECTED_SHARE,
        passed=share <= limit,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rejected_share": round(share, 6), "limit": limit},
    )


def validation_metadata(result: ValidationResult, campaigns: CampaignsSettings) -> dict[str, Any]:
    """Figures that the UI plots, reasons, a preview of at most 10 rows."""
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
        "preview": dg.MetadataValue.md(_markdown(result)),
        "landed": dg.MetadataValue.md(
            "\n".join(f"- `{o.uri}`: {o.outcome}" for o in result.objects[:_OBJECTS_SHOWN])
        ),
    }
    if result.reasons:
        metadata["rejected_by_reason"] = dg.MetadataValue.json(dict(result.reasons))
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
        similar = ", ".join(f"{_cell(s.user_id)} ({s.score:.4f})" for s in one.similar)
        campaigns = ", ".join(f"{_cell(c.campaign)} ({c.events})" for c in one.campaigns)
        lines.append(f"| {_cell(one.user_id)} | {similar} | {campaigns} |")
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


def _markdown(result: ValidationResult) -> str:
    lines = [
        "| " + " | ".join(_PREVIEW) + " |",
        "|" + "---|" * len(_PREVIEW),
        *("| " + " | ".join(_cell(row[c]) for c in _PREVIEW) + " |" for row in result.preview),
    ]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    text = text if len(text) <= _PREVIEW_TEXT else text[: _PREVIEW_TEXT - 1] + "…"
    for character in ("\\", "|", "`", "<", "["):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
