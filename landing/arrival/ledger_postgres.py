"""The ledger of a tick, on Postgres: the functions of arrivals.py and ledger.py over a connection.

Belongs here: binding them, and the transaction of a tick. Does not: SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.arrival import arrivals, deadly, declared_sinks, endings, ledger, outages, queue
from landing.arrival.batching import Arrival
from landing.arrival.declared_sinks import Reconciled
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger import Batch, SinkState
from landing.arrival.scan import ScanResult
from landing.arrival.source import Source
from landing.batch.locks import run_lock_held

if TYPE_CHECKING:
    import psycopg


@dataclass(frozen=True, slots=True)
class PostgresLedger:
    """Each call is durable when it returns, except inside ``exclusive``, which commits at its end.

    ``connection`` must be in autocommit mode: otherwise a first read would open a transaction that
    nothing commits.
    """

    connection: psycopg.Connection[Any]

    def __post_init__(self) -> None:
        if not self.connection.autocommit:
            message = "the ledger of a tick needs a connection in autocommit mode"
            raise ValueError(message)

    @contextmanager
    def exclusive(self, source: Source) -> Iterator[None]:
        """One transaction under the source's advisory lock."""
        with self.connection.transaction():
            arrivals.lock_source(self.connection, source.name)
            yield

    def record(self, source: Source, versions: Sequence[ObjectVersion], seen_at: datetime) -> int:
        """See arrivals.record_versions."""
        return arrivals.record_versions(self.connection, source.name, versions, seen_at)

    def unassigned(
        self, source: Source, limit: int, unit: Callable[[ObjectVersion], str] | None = None
    ) -> Sequence[Arrival]:
        """See arrivals.unassigned."""
        return arrivals.unassigned(self.connection, source, limit, unit)

    def create_batch(self, source: Source, new: Sequence[Arrival], now: datetime) -> str:
        """See arrivals.create_batch."""
        return arrivals.create_batch(self.connection, source, new, now)

    def reconcile(self, source: Source, now: datetime) -> Reconciled:
        """See declared_sinks.reconcile."""
        return declared_sinks.reconcile(self.connection, source.name, source.sinks, now)

    def reconcile_batches(self, source: Source, batch_ids: Sequence[str]) -> Reconciled:
        """See declared_sinks.reconcile_batches."""
        return declared_sinks.reconcile_batches(
            self.connection, source.name, source.sinks, batch_ids
        )

    def split_deadly(self, source: Source, now: datetime) -> Sequence[str]:
        """See deadly.split_deadly."""
        return deadly.split_deadly(self.connection, source.name, now)

    def in_flight(self, source: Source) -> Sequence[Batch]:
        """See queue.in_flight."""
        return queue.in_flight(self.connection, source.name)

    def next_new(self, source: Source, limit: int) -> Sequence[Batch]:
        """See queue.next_new."""
        return queue.next_new(self.connection, source.name, limit)

    def next_due(self, source: Source, now: datetime, limit: int) -> Sequence[Batch]:
        """See queue.next_due."""
        return queue.next_due(self.connection, source.name, now, limit)

    def is_busy(self, source: Source) -> bool:
        """See queue.is_busy."""
        return queue.is_busy(self.connection, source.name)

    def sinks(self, batch_ids: Sequence[str]) -> Mapping[str, Sequence[SinkState]]:
        """See ledger.sinks."""
        return ledger.sinks(self.connection, batch_ids)

    def mark_requested(self, batch_id: str, attempt: int, now: datetime) -> bool:
        """See ledger.mark_requested."""
        return ledger.mark_requested(self.connection, batch_id, attempt, now)

    def mark_lost(self, seen: Batch, *, error: str, now: datetime, began: bool) -> bool:
        """See endings.mark_lost."""
        return endings.mark_lost(self.connection, seen, error=error, now=now, began=began)

    def mark_cancelled(self, seen: Batch, *, now: datetime) -> bool:
        """See endings.mark_cancelled."""
        return endings.mark_cancelled(self.connection, seen, now=now)

    def note_refused(self, batch_id: str, attempt: int, *, error: str, now: datetime) -> bool:
        """See endings.note_refused."""
        return endings.note_refused(self.connection, batch_id, attempt, error=error, now=now)

    def away_sinks(self, source: Source) -> Sequence[str]:
        """See outages.away_sinks."""
        return outages.away_sinks(self.connection, source.name)

    def leave_to_wait(self, source: Source, away: Sequence[str], now: datetime) -> Sequence[str]:
        """See outages.leave_to_wait."""
        return outages.leave_to_wait(self.connection, source.name, away, now)

    def mark_left(self, seen: Batch, away: Sequence[str], *, now: datetime) -> bool:
        """See outages.mark_left."""
        return outages.mark_left(self.connection, seen, away, now=now)

    def probes(self, source: Source, now: datetime, limit: int) -> Sequence[Batch]:
        """See outages.probes."""
        return outages.probes(self.connection, source.name, now, limit)

    def run_lock_held(self, run_id: str) -> bool:
        """See locks.run_lock_held."""
        return run_lock_held(self.connection, run_id)

    def backlog(self, source: Source) -> arrivals.Backlog:
        """See arrivals.backlog."""
        return arrivals.backlog(self.connection, source.name)

    def save_scan(self, source: Source, result: ScanResult, now: datetime) -> None:
        """See arrivals.save_scan."""
        arrivals.save_scan(self.connection, source.name, result, now)
