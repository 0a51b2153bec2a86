"""What BigQuery is asked of the rows that a batch of history has staged.

Belongs here: the statements over the staging tables. Does not: when they run (``load.py``), what is
the same whatever brings facts (``fact_statements.py``).
"""

from __future__ import annotations

from assets.reading.fact_statements import gained, merge
from assets.reading.kinds import CATEGORIES, EVENTS, KINDS, Kind
from assets.sinks.bigquery import Bound, between, same_row, within
from assets.sinks.result import SAMPLE

_DAY = {EVENTS: "DATE(s.updated_at)", CATEGORIES: "CAST(NULL AS DATE)"}
#: Whether a staged row is of the kind.
_IS_OWN = {kind: f"s.{kind.names[-1]} IS NOT NULL" for kind in KINDS}
_FOUND = {
    kind: f"`{{{kind.history.name}}}` AS s "
    f"LEFT JOIN `{{{kind.table.name}}}` AS t ON {same_row(kind.table)} "
    f"WHERE {_IS_OWN[kind]} AND {within(kind.table, 's.')}"
    for kind in KINDS
}


def _merge(kind: Kind, bound: Bound) -> str:
    """Of rows that say the same any may stand for them."""
    return merge(
        kind,
        f"`{{{kind.history.name}}}` AS s WHERE {_IS_OWN[kind]}",
        source="ANY_VALUE(source)",
        ingested_at="ANY_VALUE(ingested_at)",
        bound=bound,
    )


MERGE = {kind: _merge(kind, within) for kind in KINDS}
#: The same for days without a gap, which most files have.
MERGE_SPAN = _merge(EVENTS, between)
#: Of staged rows, not of facts: a row that joins one row has its fact there, and there once.
CHECK = {
    kind: f"""
SELECT {_DAY[kind]} AS day, COUNT(*) AS found, COUNTIF(t.content_id IS NULL) AS missing
FROM {_FOUND[kind]}
GROUP BY day
"""
    for kind in KINDS
}
MISSING = {
    kind: f"""
SELECT DISTINCT {", ".join(f"s.{name}" for name in kind.names)}
FROM {_FOUND[kind]} AND t.content_id IS NULL
LIMIT {SAMPLE}
"""
    for kind in KINDS
}
GAINED = {
    kind: gained(kind, f"source IN (SELECT DISTINCT source FROM `{{{kind.history.name}}}`)")
    for kind in KINDS
}
