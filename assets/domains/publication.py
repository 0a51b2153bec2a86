"""Publishing a month: whether it may be, its files, and the note of what is out.

Belongs here: the order of these. Does not: keys and contents (``publishing.py``), the summaries
(``descriptions.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from assets.domains import tables
from assets.domains.descriptions import compared, read_published, read_summaries
from assets.domains.publishing import frame_of, publish
from assets.frame.table_frames import frame_schema
from assets.sinks.postgres import ensure
from assets.sinks.postgres_replacing import replace_within
from assets.sinks.result import SinkResult, Verification

if TYPE_CHECKING:
    import psycopg

    from assets.domains.months import Month
    from assets.domains.settings import DomainsSettings
    from landing.batch.refused import Refusals
    from landing.stores.base import ObjectStore


def publish_month(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    month: Month,
    settings: DomainsSettings,
    *,
    shown: dict[str, Any],
    refusals: Refusals,
) -> tuple[SinkResult, Verification]:
    """Put the month's files on S3, then note what is out; ``shown`` gains metadata.

    ``refusals`` gains the notes that Postgres refuses.

    Raises TooManyMissingError before anything is written, UploadMismatchError, and the errors of
    the store and of psycopg.
    """
    started = time.monotonic()

    ensure(conn, tables.PUBLISHED)
    found = read_summaries(conn, month)
    found.require(settings.most_missing_percent)
    diff = compared(found.answered, read_published(conn, month.before))
    out = publish(store, settings.output_prefix, month, found, diff=diff, model=settings.model)
    rows = (
        frame_of(found.answered)
        .select(pl.lit(month.start).alias("month"), pl.all())
        .select(pl.col(name).cast(kind) for name, kind in frame_schema(tables.PUBLISHED).items())
    )
    within = f"t.month = DATE '{month.start:%Y-%m-%d}'"
    refused = tables.refusing(tables.PUBLISHED, refusals)
    noted, held = replace_within(conn, tables.PUBLISHED, rows, within, refused=refused)
    shown.update(
        {
            "published": len(found.answered),
            "rejected": len(found.rejected),
            "missing_share": round(found.missing_share, 6),
            "cost_dollars": found.cost / 1e6,
            "objects_written": len(out.written),
            "dagster/uri": f"s3://{store.bucket}/{out.folder}",
            **{f"domains_{name}": count for name, count in asdict(diff).items()},
        }
    )
    seconds = time.monotonic() - started
    return SinkResult(noted.rows_written, noted.unchanged, noted.deleted, seconds), held
