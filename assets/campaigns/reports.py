"""What campaigns show of recommendations.

Belongs here: from results to what Dagster displays. Does not: what every pipeline of files shows
(``assets/frame/reports.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown

if TYPE_CHECKING:
    from assets.campaigns.recommendation_table import Kept


def recommendation_metadata(kept: Kept, table: str) -> dict[str, Any]:
    """Counts, and some answers as a table."""
    lines = ["| user | most similar users | their campaigns (events) |", "|---|---|---|"]
    for one in kept.recommendations:
        similar = ", ".join(f"{markdown.cell(s.user_id)} ({s.score:.4f})" for s in one.similar)
        campaigns = ", ".join(f"{markdown.cell(c.campaign)} ({c.events})" for c in one.campaigns)
        lines.append(f"| {markdown.cell(one.user_id)} | {similar} | {campaigns} |")
    since = {"stale_since": kept.stale_since.isoformat()} if kept.stale_since else {}
    return {
        **since,
        "dagster/table_name": table,
        "dagster/partition_row_count": kept.users,
        "users": kept.users,
        "stale": kept.stale,
        "removed": kept.removed,
        "tie_limit_reached": kept.tie_limit_reached,
        "seconds": round(kept.seconds, 3),
        "preview": dg.MetadataValue.md("\n".join(lines)),
    }
