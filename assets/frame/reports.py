"""What validation shows of a batch, whatever the pipeline: its checks and its figures.

Belongs here: from results to what Dagster displays. Does not: validation, or which columns a
pipeline previews.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from landing.batch.counts import RowCounts

if TYPE_CHECKING:
    import psycopg

    from landing.batch.validation import ValidationResult
    from resources.postgres import PostgresResource

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

_OBJECTS_SHOWN = 20

#: The checks of every validation.
ROWS_BALANCE = "rows_balance"
REJECTED_SHARE = "rejected_share"
#: Share of rejected rows above which a batch deserves a look.
MAX_REJECTED_SHARE = 0.05


def validation_checks(asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """What is checked of every validated batch; ``rows_balance`` holds up what is behind it."""
    return [
        dg.AssetCheckSpec(
            ROWS_BALANCE,
            asset=asset,
            blocking=True,
            description="read = written + unchanged + superseded + rejected, for every object; "
            "as many rows quarantined as were rejected.",
        ),
        dg.AssetCheckSpec(
            REJECTED_SHARE,
            asset=asset,
            description=f"At most {MAX_REJECTED_SHARE:.0%} of the rows were rejected.",
        ),
    ]


def validation_results(
    postgres: PostgresResource, batch_id: str, rows: RowCounts
) -> Iterator[dg.AssetCheckResult]:
    """The results of :func:`validation_checks`."""
    with postgres.connect() as connection:
        balance = _rows_balance(connection, batch_id)
    yield balance
    yield _rejected_share(rows)


def _rows_balance(connection: psycopg.Connection[Any], batch_id: str) -> dg.AssetCheckResult:
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


def _rejected_share(rows: RowCounts) -> dg.AssetCheckResult:
    """A warning when more than MAX_REJECTED_SHARE of the rows read were rejected."""
    share = rows.rejected / rows.read if rows.read else 0.0
    return dg.AssetCheckResult(
        check_name=REJECTED_SHARE,
        passed=share <= MAX_REJECTED_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rejected_share": round(share, 6), "limit": MAX_REJECTED_SHARE},
    )


def figures(result: ValidationResult) -> dict[str, Any]:
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
    if result.reasons:
        metadata["rejected_by_reason"] = dg.MetadataValue.json(dict(result.reasons))
    return metadata
