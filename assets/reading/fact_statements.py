"""Statements over facts that are the same whatever brings them: a stream, files, or Google.

Belongs here: templates, and the parameter ``days`` that bounds them. Does not: running one alone in
its table (``merges.py``), where rows come from (the module of what brings them).

Sources are made unique by GROUP BY, since BigQuery cannot partition a window by a FLOAT64. A fact
whose row is there is left as it is: two that are the same differ in nothing that the table keeps
but in what brought them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from assets.reading.kinds import Kind
from assets.reading.rules import midnight
from assets.sinks.bigquery import Bound, insert_statement, within

#: Days per statement: BigQuery changes 4,000 partitions in one job at most.
DAYS_AT_ONCE = 2_000


def distinct(kind: Kind, rows: str, *, source: str, ingested_at: str) -> str:
    """Each fact of ``rows`` (what stands behind FROM) once; the others are aggregates."""
    keys = ", ".join(kind.names)
    return f"""
SELECT {keys}, {source} AS source, {ingested_at} AS ingested_at
FROM {rows}
GROUP BY {keys}
"""


def merge(kind: Kind, rows: str, *, source: str, ingested_at: str, bound: Bound = within) -> str:
    """Add the facts of ``rows`` that are not there. Binds what ``bound`` needs, if there are days.

    The rows are bounded by the same days: a fact of another day would pass by a table of which
    that day is not read, and be there twice.
    """
    bounded = f"{rows} AND {bound(kind.table, '')}"
    facts = distinct(kind, bounded, source=source, ingested_at=ingested_at)
    return insert_statement(kind.table, facts, bound)


def gained(kind: Kind, condition: str) -> str:
    """What the rows that meet a condition changed, days or contents, and how many they are."""
    return f"""
SELECT {kind.change_sql} AS gained, COUNT(*) AS events
FROM `{{{kind.table.name}}}`
WHERE {within(kind.table)} AND {condition}
GROUP BY gained
"""


def days_parameters(kind: Kind, days: Iterable[date]) -> Iterator[list[Any]]:
    """What binds a statement to days, as often as it takes to name all of them, in their order.

    Once, and nothing, for a table without days.
    """
    from google.cloud.bigquery import ArrayQueryParameter

    if not kind.table.partition:
        yield []
        return
    midnights = [midnight(day) for day in sorted(days)]
    for start in range(0, len(midnights), DAYS_AT_ONCE):
        yield [ArrayQueryParameter("days", "TIMESTAMP", midnights[start : start + DAYS_AT_ONCE])]


def span_parameters(days: Sequence[Any]) -> list[Any] | None:
    """What binds a statement to the same days by the first and the last; None if one is missing."""
    from google.cloud.bigquery import ScalarQueryParameter

    if not days:
        return None
    (named,) = days
    first, after = named.values[0], named.values[-1] + timedelta(days=1)
    if (after - first).days != len(named.values):
        return None
    return [
        ScalarQueryParameter("first", "TIMESTAMP", first),
        ScalarQueryParameter("after", "TIMESTAMP", after),
    ]
