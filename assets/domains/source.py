"""The source database: a month's sums and categories, read in one snapshot.

Belongs here: the statements that run there. Does not: what is made of their rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from assets.domains.months import Month
    from assets.frame.tables import Table

_METRICS = (Path(__file__).parent / "sql" / "metrics.sql").read_text(encoding="utf-8")
_CATEGORIES = """
SELECT DISTINCT %(start)s::date AS month, c.domain, c.category
FROM domain_categories c
WHERE c.category <> '' AND EXISTS (
    SELECT FROM domain_metrics m
    WHERE m.domain = c.domain AND m.date >= %(start)s AND m.date < %(end)s)
ORDER BY c.domain, c.category
"""
_ROWS = """
SELECT count(*), count(*) FILTER (WHERE domain IS NULL OR domain = ''),
    count(*) FILTER (WHERE transactionrevenue::text IN ('NaN', 'Infinity', '-Infinity'))
FROM domain_metrics WHERE date >= %(start)s AND date < %(end)s
"""


class MonthWithoutRowsError(PermanentError):
    """The source has nothing of the report month."""


class BadSourceError(PermanentError):
    """The source has figures that cannot be summed."""


@dataclass(frozen=True, slots=True)
class SourceMonth:
    """A month as the source has it: tables METRICS (most revenue first) and CATEGORIES.

    ``rows`` of the report month were read, ``nameless`` of them name no domain.
    """

    metrics: pl.DataFrame
    categories: pl.DataFrame
    rows: int
    nameless: int


def read_month(conn: psycopg.Connection[Any], month: Month) -> SourceMonth:
    """The month in one repeatable-read snapshot; ``conn`` must not be in a transaction.

    Raises MonthWithoutRowsError, BadSourceError and psycopg errors.
    """
    import psycopg

    from assets.domains.tables import CATEGORIES, METRICS

    conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    conn.read_only = True
    bounds = {"before": month.before.start, "start": month.start, "end": month.after.start}
    with conn.transaction():
        rows, nameless, endless = conn.execute(_ROWS, bounds).fetchone() or (0, 0, 0)
        if endless:
            raise BadSourceError(
                f"{endless} rows of {month} in domain_metrics have a revenue that is no number"
            )
        if rows == nameless:
            raise MonthWithoutRowsError(f"the source has no rows of {month} in domain_metrics")
        metrics = conn.execute(_METRICS, bounds).fetchall()
        categories = conn.execute(_CATEGORIES, bounds).fetchall()
    return SourceMonth(_frame(METRICS, metrics), _frame(CATEGORIES, categories), rows, nameless)


def _frame(table: Table, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    import polars as pl

    from assets.frame.table_frames import frame_schema

    return pl.DataFrame(rows, schema=frame_schema(table), orient="row")
