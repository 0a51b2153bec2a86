"""The checks of a pipeline of files: of every validated batch, and of all its batches together.

Belongs here: what no such pipeline may lack. Does not: checks that only one pipeline has, the check
of a sink (``step.py``).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import markdown
from assets.frame.record_audit import record_audit
from landing.arrival import standing
from landing.arrival.states import LONG_WAIT
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import psycopg

    from assets.frame.declared import LandedFiles, Pipeline

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
#: Objects that were read, those of which nothing was accepted, and a sample of these.
_REJECTED = """
WITH seen AS (
    SELECT seq, bucket || '/' || key AS object,
        CASE WHEN outcome = 'rejected' THEN coalesce(reason, 'rejected')
             WHEN rows_rejected > 0 AND rows_rejected = rows_read
                 THEN 'every one of its ' || rows_read || ' rows' END AS reason,
        coalesce(rows_read, 0) AS rows_read, coalesce(rows_rejected, 0) AS rows_rejected
    FROM landing.object_version WHERE batch_id = %s AND outcome IN ('loaded', 'rejected')
)
SELECT count(*), count(reason), coalesce(sum(rows_read), 0)::bigint,
    coalesce(sum(rows_rejected), 0)::bigint,
    (array_agg(ARRAY[object, left(reason, 500)] ORDER BY seq) FILTER (WHERE reason IS NOT NULL))
        [:%s]
FROM seen
"""
_QUARANTINED = "SELECT coalesce(sum(rows), 0)::bigint FROM landing.quarantine WHERE batch_id = %s"

#: The checks of every validation.
ROWS_BALANCE = "rows_balance"
REJECTED_SHARE = "rejected_share"
#: Batches and objects that a check names.
SAMPLE = 10
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
            description=f"At most {MAX_REJECTED_SHARE:.0%} of the rows were rejected, and no "
            "object as a whole. An error when nothing else was in the batch.",
        ),
    ]


def validation_results(postgres: PostgresResource, batch_id: str) -> Iterator[dg.AssetCheckResult]:
    """The results of :func:`validation_checks`."""
    with postgres.connect() as connection:
        results = _rows_balance(connection, batch_id), _rejected_share(connection, batch_id)
    yield from results


def _rows_balance(connection: "psycopg.Connection[Any]", batch_id: str) -> dg.AssetCheckResult:
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


def _rejected_share(connection: "psycopg.Connection[Any]", batch_id: str) -> dg.AssetCheckResult:
    """A warning when too many rows, or an object as a whole, were rejected; or all: an error.

    An object counts as rejected too when each of its rows was.
    """
    row = connection.execute(_REJECTED, (batch_id, SAMPLE)).fetchone()
    objects, rejected, rows_read, rows_rejected, sample = row or (0, 0, 0, 0, None)
    share = rows_rejected / rows_read if rows_read else 0.0
    nothing_else = bool(rejected) and rejected == objects
    metadata: dict[str, Any] = {
        "rejected_share": round(share, 6),
        "rejected_objects": rejected,
        "rejected_objects_share": round(rejected / objects if objects else 0.0, 6),
        "limit": MAX_REJECTED_SHARE,
    }
    if sample:
        metadata["sample"] = dg.MetadataValue.md(markdown.table(("object", "rejected"), sample))
    return dg.AssetCheckResult(
        check_name=REJECTED_SHARE,
        passed=share <= MAX_REJECTED_SHARE and not rejected,
        severity=dg.AssetCheckSeverity.ERROR if nothing_else else dg.AssetCheckSeverity.WARN,
        description=f"`make quarantine BATCH={batch_id}` shows what was rejected."
        if rows_rejected or rejected
        else None,
        metadata=metadata,
    )


#: Batches and objects that a check names.
SAMPLE = 10


def _minutes(passed: timedelta) -> int:
    return int(passed.total_seconds() // 60)


_LATE_MINUTES = _minutes(standing.LATE)


def audits(pipeline: "Pipeline", own: dg.Definitions) -> list[dg.AssetsDefinition]:
    """What the hourly audit checks, and no run of a batch: the pipeline's own and the standing."""
    checks = own.asset_checks or ()
    return [*checks, *(check for files in pipeline.landed for check in standing_checks(files))]


def standing_checks(files: "LandedFiles") -> list[dg.AssetChecksDefinition]:
    """What an hourly audit asks of everything that lands."""
    source = files.source_name

    @dg.asset_check(
        asset=files.key(files.validation),
        name="no_batch_failed_for_good",
        description="No batch waits for an operator.",
    )
    def stopped(postgres: PostgresResource) -> dg.AssetCheckResult:
        with postgres.connect() as connection:
            found, count = standing.stopped(connection, [source], limit=SAMPLE)
        rows = [(one.batch_id, one.error) for one in found]
        remedy = "Mend the cause named in the error, then `make replay BATCH=<batch>`."
        return _standing({"batches": count}, ("batch", "error"), rows, remedy)

    @dg.asset_check(
        asset=files.key(files.validation),
        name="no_object_left_waiting",
        description=f"No object waits for longer than {_LATE_MINUTES} minutes until it is loaded, "
        f"nor for somebody else's work for longer than {LONG_WAIT.days} day.",
    )
    def waiting(postgres: PostgresResource) -> dg.AssetCheckResult:
        now = datetime.now(UTC)
        with postgres.connect() as connection:
            late = standing.late(connection, source, now, limit=SAMPLE)
        rows = [
            (one.name, _minutes(now - one.since), one.batch_id or "no batch", one.state or "seen")
            for one in late.oldest
        ]
        remedy = (
            f"Look whether the daemon and `{files.sensor}` run, and at the runs of the batches "
            "named: a failed batch is tried again by itself, one that failed for good by "
            "`make replay`."
        )
        figures = {
            "objects_waiting": late.count,
            "oldest_minutes": rows[0][1] if rows else 0,
            "limit_minutes": _LATE_MINUTES,
        }
        return _standing(figures, ("object", "minutes", "batch", "state"), rows, remedy)

    return [stopped, waiting, *([] if files.facts else [record_audit(files)])]


def _standing(
    figures: Mapping[str, int],
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    remedy: str,
) -> dg.AssetCheckResult:
    """Passed when there is none; the figures and a sample."""
    metadata: dict[str, Any] = dict(figures)
    if rows:
        metadata["sample"] = dg.MetadataValue.md(markdown.table(columns, rows))
    return dg.AssetCheckResult(
        passed=not rows, description=remedy if rows else None, metadata=metadata
    )
