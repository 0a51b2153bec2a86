"""Lists of the ledger for people: batches, what was rejected of each source, what sinks refuse.

Belongs here: their columns, filters, orders. Does not: paging (``resources/keyset.py``), rejected
rows themselves (``landing/batch/rejected_rows.py``), what is asked of one source
(``standing.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from landing.arrival.states import LOADED, BatchState
from landing.batch.reasons import REJECTED_BY_SINK
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

#: A state, or ``open``: any in which a batch is not loaded.
AskedState = BatchState | Literal["open"]

_NEWEST = By("batch_id", "text", descending=True)


@dataclass(frozen=True, slots=True)
class ListedBatch:
    """A batch, and how many rows of it were rejected or refused by its sinks."""

    batch_id: str
    pipeline: str
    source: str
    partition_key: str
    state: BatchState
    attempt: int
    objects: int
    bytes: int
    rejected: int
    refused: int
    created_at: datetime
    requested_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    next_attempt_at: datetime | None
    run_id: str | None
    error_class: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RejectCount:
    """Rejected rows of a source by reason; ``waiting`` of them were not put back."""

    pipeline: str
    source: str
    reason: str
    rows: int
    waiting: int
    batches: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class QuarantinedRows:
    """The rejected rows of one batch, counted by reason."""

    batch_id: str
    pipeline: str
    source: str
    rows: int
    reasons: Mapping[str, int]
    written_at: datetime
    replayed_at: datetime | None


@dataclass(frozen=True, slots=True)
class RefusedBySink:
    """A row that a sink refuses, in the sink's words. ``object`` is its object version's URI."""

    batch_id: str
    pipeline: str
    source: str
    sink: str
    record_key: str
    object: str | None
    line: int | None
    detail: str
    refused_at: datetime


_BATCHES = """
SELECT b.batch_id, b.pipeline, b.source, coalesce(b.unit, b.batch_id) AS partition_key, b.state,
    b.attempt, b.objects, b.bytes, coalesce(q.rows, 0) AS rejected,
    (SELECT count(*) FROM landing.refused_row r WHERE r.batch_id = b.batch_id) AS refused,
    b.created_at, b.requested_at, b.started_at, b.finished_at, b.next_attempt_at, b.run_id,
    b.error_class, b.error
FROM landing.batch b LEFT JOIN landing.quarantine q USING (batch_id)
"""
_COUNTS = f"""
SELECT pipeline, source, reason, sum(rows)::bigint AS rows, sum(waiting)::bigint AS waiting,
    sum(batches)::bigint AS batches, max(last_at) AS last_at
FROM (
    SELECT b.pipeline, b.source, r.key AS reason, sum(r.value::bigint) AS rows,
        coalesce(sum(r.value::bigint) FILTER (WHERE q.replayed_at IS NULL), 0) AS waiting,
        count(*) AS batches, max(q.written_at) AS last_at
    FROM landing.quarantine q JOIN landing.batch b USING (batch_id)
    CROSS JOIN LATERAL jsonb_each_text(q.reasons) AS r (key, value)
    GROUP BY b.pipeline, b.source, r.key
    UNION ALL
    SELECT b.pipeline, b.source, '{REJECTED_BY_SINK.code}', count(*), count(*),
        count(DISTINCT batch_id), max(r.refused_at)
    FROM landing.refused_row r JOIN landing.batch b USING (batch_id)
    GROUP BY b.pipeline, b.source
) AS counted (pipeline, source, reason, rows, waiting, batches, last_at)
"""
_QUARANTINED = """
SELECT q.batch_id, b.pipeline, b.source, q.rows, q.reasons, q.written_at, q.replayed_at
FROM landing.quarantine q JOIN landing.batch b USING (batch_id)
"""
_REFUSED = """
SELECT r.batch_id, b.pipeline, b.source, r.sink, r.record_key, r.source AS object, r.line,
    r.detail, r.refused_at
FROM landing.refused_row r JOIN landing.batch b USING (batch_id)
"""


def batches(source: str | None = None, state: AskedState | None = None) -> Listing[ListedBatch]:
    """Batches, newest first."""
    conditions: dict[str, Any] = {"b.source = {}": source}
    if state == "open":
        conditions["b.state <> ALL({})"] = sorted(LOADED)
    else:
        conditions["b.state = {}"] = state
    filters, bound = where(conditions)
    return Listing(ListedBatch, f"{_BATCHES} {filters}", (_NEWEST,), bound)


def reject_counts(source: str | None = None) -> Listing[RejectCount]:
    """Rejected rows by source and reason."""
    filters, bound = where({"source = {}": source})
    query = f"{_COUNTS} {filters} GROUP BY pipeline, source, reason"
    order = (By("source", "text"), By("reason", "text"), By("pipeline", "text"))
    return Listing(RejectCount, query, order, bound)


def quarantined(source: str | None = None) -> Listing[QuarantinedRows]:
    """Batches that have rejected rows, newest first."""
    filters, bound = where({"b.source = {}": source})
    return Listing(QuarantinedRows, f"{_QUARANTINED} {filters}", (_NEWEST,), bound)


def refused(source: str | None = None, batch_id: str | None = None) -> Listing[RefusedBySink]:
    """Rows that sinks refuse, those of the newest batch before others."""
    filters, bound = where({"b.source = {}": source, "r.batch_id = {}": batch_id})
    order = (_NEWEST, By("sink", "text"), By("record_key", "text"))
    return Listing(RefusedBySink, f"{_REFUSED} {filters}", order, bound)


def knows(connection: psycopg.Connection[Any], source: str) -> bool:
    """Whether the ledger has a batch of the source, which may be called otherwise by now."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM landing.batch WHERE source = %s)", (source,)
    ).fetchone()
    return bool(row and row[0])
