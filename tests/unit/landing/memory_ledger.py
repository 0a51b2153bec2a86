"""The ledger in memory, with the interface and the rules of the one in Postgres.

The same state machine runs on both (tests/integration/landing), so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from landing.arrival.arrivals import REOPEN_WAITS, Backlog, next_batch_id
from landing.arrival.batching import Arrival
from landing.arrival.declared_sinks import Reconciled
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger import Batch, SinkState
from landing.arrival.scan import ScanResult
from landing.arrival.source import Source
from landing.arrival.states import (
    IN_FLIGHT,
    LOADED,
    LONE_DEATHS,
    MOST_DEATHS,
    NOT_STARTED,
    SUSPECT_DEATHS,
    TRIED_AGAIN,
    WAIT,
    ErrorClass,
    cancelled,
    failed_state,
    lost_delay,
    retry_delay,
    run_key,
)
from landing.batch.holding import HELD, BatchHeldElsewhere


@dataclass
class Row:
    seq: int
    version: ObjectVersion
    seen_at: datetime
    batch_id: str | None = None
    outcome: str | None = None
    #: Whether another version of its key was known when it was recorded.
    key_known: bool = False


def _pending(batch_id: str, sink: str) -> SinkState:
    return SinkState(batch_id, sink, "pending", None, None, None, None, None, None)


@dataclass
class MemoryLedger:
    rows: list[Row] = field(default_factory=list)
    batches: dict[str, Batch] = field(default_factory=dict)
    sink_states: dict[str, dict[str, SinkState]] = field(default_factory=dict)
    locks: set[str] = field(default_factory=set)
    #: Batches that were made of others' objects; objects that are rejected without being read.
    split: set[str] = field(default_factory=set)
    set_aside: set[int] = field(default_factory=set)

    # What a tick needs.

    @contextmanager
    def exclusive(self, source: Source) -> Iterator[None]:
        yield

    def record(self, source: Source, versions: Sequence[ObjectVersion], seen_at: datetime) -> int:
        new = [v for v in versions if self._is_new(v, seen_at)]
        keys = {row.version.key for row in self.rows}
        for version in new:
            known = version.key in keys
            self.rows.append(Row(len(self.rows) + 1, version, seen_at, key_known=known))
        return len(new)

    def _is_new(self, version: ObjectVersion, seen_at: datetime) -> bool:
        """Never seen, or current again although something else was found since, after a while."""
        of_key = [row for row in self.rows if row.version.key == version.key]
        same = [row for row in of_key if row.version.version == version.version]
        if not same:
            return True
        last = same[-1]
        if last.outcome in {"loaded", "rejected"}:
            decided = [r for r in of_key if r.key_known and r.outcome in {"loaded", "rejected"}]
            covered = bool(decided) and decided[-1].seq > last.seq
            if not covered or decided[-1].version.version == version.version:
                return False
        elif last.outcome is None:
            return False
        decided_at = self.batches[last.batch_id or ""].validated_at
        wait = REOPEN_WAITS[min(len(same), len(REOPEN_WAITS)) - 1]
        return decided_at is not None and decided_at <= seen_at - wait

    def unassigned(
        self,
        source: Source,
        limit: int,
        unit: Callable[[ObjectVersion], str] | None = None,
    ) -> list[Arrival]:
        waiting = [row for row in self.rows if row.batch_id is None]
        unit = unit or source.unit
        return [
            Arrival(row.seq, row.version.size, row.seen_at, unit(row.version) if unit else None)
            for row in waiting[:limit]
        ]

    def create_batch(self, source: Source, arrivals: Sequence[Arrival], now: datetime) -> str:
        batch_id = next_batch_id(max(self.batches, default=None), now)
        for arrival in arrivals:
            row = self.rows[arrival.seq - 1]
            assert row.batch_id is None
            row.batch_id = batch_id
        self.batches[batch_id] = Batch(
            batch_id=batch_id,
            partition_key=arrivals[0].unit or batch_id,
            source=source.name,
            pipeline=source.pipeline,
            state="pending",
            attempt=0,
            objects=len(arrivals),
            bytes=sum(arrival.size for arrival in arrivals),
            created_at=now,
            requested_at=None,
            started_at=None,
            finished_at=None,
            next_attempt_at=None,
            run_id=None,
            validated_at=None,
            error_class=None,
            error=None,
            partition_removed_at=None,
        )
        self.sink_states[batch_id] = {sink: _pending(batch_id, sink) for sink in source.sinks}
        return batch_id

    def open_batches(self, source: Source) -> list[Batch]:
        return [b for _, b in sorted(self.batches.items()) if b.state not in LOADED]

    def sinks(self, batch_ids: Sequence[str]) -> dict[str, list[SinkState]]:
        return {b: [s for _, s in sorted(self.sink_states[b].items())] for b in batch_ids}

    def mark_requested(self, batch_id: str, attempt: int, now: datetime) -> bool:
        batch = self.batches[batch_id]
        if batch.attempt != attempt - 1 or batch.state not in {"pending", *TRIED_AGAIN}:
            return False
        self._set(batch_id, state="requested", attempt=attempt, run_id=None, next_attempt_at=None)
        return True

    def mark_lost(self, seen: Batch, *, error: str, now: datetime, began: bool) -> bool:
        batch = self.batches[seen.batch_id]
        if (batch.state, batch.attempt, batch.run_id) != (seen.state, seen.attempt, seen.run_id):
            return False
        begun, deaths = seen.begun, seen.deaths
        if seen.state == "running":
            deaths += 1
            due = now + lost_delay(deaths)
        elif began:
            begun += 1
            due = now + retry_delay(begun)
        else:
            due = now + NOT_STARTED
        for_good = seen.validated_at is not None and deaths >= MOST_DEATHS
        self._set(
            seen.batch_id,
            state="failed_permanent" if for_good else "failed_transient",
            next_attempt_at=None if for_good else due,
            begun=begun,
            deaths=deaths,
        )
        return True

    def mark_cancelled(self, seen: Batch, *, now: datetime) -> bool:
        batch = self.batches[seen.batch_id]
        if (batch.state, batch.attempt, batch.run_id) != (seen.state, seen.attempt, seen.run_id):
            return False
        self._set(
            seen.batch_id,
            state="failed_permanent",
            next_attempt_at=None,
            error=cancelled(seen.batch_id),
        )
        return True

    def note_refused(self, batch_id: str, attempt: int, *, error: str, now: datetime) -> bool:
        batch = self.batches[batch_id]
        if (batch.state, batch.attempt) != ("requested", attempt):
            return False
        self._set(
            batch_id, state="failed_transient", next_attempt_at=now + NOT_STARTED, error=error
        )
        return True

    def in_flight(self, source: Source) -> list[Batch]:
        return [b for b in self.open_batches(source) if b.state in IN_FLIGHT]

    def next_new(self, source: Source, limit: int) -> list[Batch]:
        return [b for b in self.open_batches(source) if b.state == "pending"][:limit]

    def next_due(self, source: Source, now: datetime, limit: int) -> list[Batch]:
        due = [
            (batch.next_attempt_at, batch.batch_id, batch)
            for batch in self.open_batches(source)
            if batch.state in TRIED_AGAIN and batch.next_attempt_at and batch.next_attempt_at <= now
        ]
        return [batch for _, _, batch in sorted(due, key=lambda one: one[:2])][:limit]

    def is_busy(self, source: Source) -> bool:
        return any(b.state in {"pending", *IN_FLIGHT} for b in self.open_batches(source))

    def reconcile(self, source: Source, now: datetime) -> Reconciled:
        return self.reconcile_batches(source, [b.batch_id for b in self.open_batches(source)])

    def reconcile_batches(self, source: Source, batch_ids: Sequence[str]) -> Reconciled:
        closed = []
        for batch_id in batch_ids:
            states = self.sink_states[batch_id]
            for sink, state in states.items():
                if sink not in source.sinks and state.state in {"pending", "failed"}:
                    states[sink] = replace(state, state="retired")
                elif sink in source.sinks and state.state == "retired":
                    states[sink] = replace(state, state="pending")
            if self.batches[batch_id].state != "running":
                for sink in source.sinks:
                    states.setdefault(sink, _pending(batch_id, sink))
            if self._close_if_done(batch_id):
                closed.append(batch_id)
        return Reconciled(closed=tuple(closed))

    def split_deadly(self, source: Source, now: datetime) -> list[str]:
        done = []
        for batch in self.open_batches(source):
            unfit = batch.state != "failed_transient" or batch.validated_at is not None
            if unfit or batch.deaths < SUSPECT_DEATHS:
                continue
            rows = [row for row in self.rows if row.batch_id == batch.batch_id]
            if len(rows) > 1:
                new_id = next_batch_id(max(self.batches), now)
                half = rows[len(rows) // 2 :]
                for row in half:
                    row.batch_id = new_id
                self.split.add(new_id)
                self.batches[new_id] = replace(batch, batch_id=new_id, run_id=None)
                if batch.partition_key == batch.batch_id:
                    self._set(new_id, partition_key=new_id)
                self.sink_states[new_id] = {
                    sink: _pending(new_id, sink)
                    for sink, state in self.sink_states[batch.batch_id].items()
                    if state.state != "retired"
                }
                for one in (batch.batch_id, new_id):
                    self._set(one, deaths=1, next_attempt_at=now)
                done.append(new_id)
            elif batch.deaths >= LONE_DEATHS:
                self.set_aside.add(rows[0].seq)
                rows[0].outcome = "rejected"
                self._set(batch.batch_id, deaths=0, next_attempt_at=now)
                done.append(batch.batch_id)
        return done

    def away_sinks(self, source: Source) -> list[str]:
        return []  # outages are for the real ledger: tests/integration/landing/test_outages.py

    def leave_to_wait(self, source: Source, away: Sequence[str], now: datetime) -> list[str]:
        raise NotImplementedError

    def mark_left(self, seen: Batch, away: Sequence[str], *, now: datetime) -> bool:
        raise NotImplementedError

    def probes(self, source: Source, now: datetime, limit: int) -> list[Batch]:
        raise NotImplementedError

    def run_lock_held(self, run_id: str) -> bool:
        return run_id in self.locks

    def backlog(self, source: Source) -> Backlog:
        unloaded = self.open_batches(source)
        ids = {batch.batch_id for batch in unloaded}
        states = [batch.state for batch in unloaded]
        waiting = [r for r in self.rows if r.batch_id is None]
        oldest = [r.seen_at for r in self.rows if r.batch_id in ids] + [r.seen_at for r in waiting]
        return Backlog(
            unassigned=len(waiting),
            oldest_seen_at=min(oldest, default=None),
            waiting=states.count("pending"),
            in_flight=states.count("requested") + states.count("running"),
            failed=states.count("failed_transient"),
            stopped=states.count("failed_permanent"),
            elsewhere=states.count("waiting"),
        )

    def save_scan(self, source: Source, result: ScanResult, now: datetime) -> None:
        return None

    # What a run and an operator do.

    def batch(self, batch_id: str) -> Batch:
        return self.batches[batch_id]

    def versions(self, batch_id: str) -> list[tuple[int, ObjectVersion]]:
        return [(r.seq, r.version) for r in self.rows if r.batch_id == batch_id]

    def assignments(self) -> list[tuple[int, ObjectVersion, str | None]]:
        return [(row.seq, row.version, row.batch_id) for row in self.rows]

    def batch_ids(self) -> list[str]:
        return [batch_id for batch_id in self.batches if batch_id not in self.split]

    def every_batch(self) -> list[str]:
        return list(self.batches)

    def aside(self) -> set[int]:
        return self.set_aside

    def mark_running(self, batch_id: str, run_id: str, now: datetime, key: str) -> None:
        batch = self.batches[batch_id]
        if batch.run_id != run_id:
            if key != run_key(batch_id, batch.attempt):
                raise BatchHeldElsewhere(key)
            if batch.state == "running" and batch.run_id in self.locks:
                raise BatchHeldElsewhere(batch.run_id)
            self._set(batch_id, begun=batch.begun + 1)
        self._set(batch_id, state="running", run_id=run_id)

    def take_lock(self, run_id: str) -> None:
        self.locks.add(run_id)

    def release(self, run_id: str) -> None:
        self.locks.discard(run_id)

    def mark_waiting(self, batch_id: str, *, run_id: str, now: datetime) -> None:
        batch = self.batches[batch_id]
        if (batch.state, batch.run_id) == ("running", run_id):
            since = batch.waiting_since or now
            self._set(
                batch_id,
                state="waiting",
                next_attempt_at=now + WAIT,
                waiting_since=since,
                deaths=0,
            )

    def mark_failed(
        self, batch_id: str, *, run_id: str, error_class: ErrorClass, now: datetime
    ) -> None:
        batch = self.batches[batch_id]
        worked_on = batch.state in {"requested", "running", "waiting"}
        if not worked_on or batch.run_id not in {None, run_id}:
            return
        due = now + retry_delay(batch.begun) if error_class == "transient" else None
        self._set(
            batch_id,
            state=failed_state(error_class),
            next_attempt_at=due,
            run_id=run_id,
            deaths=0,
        )

    def mark_validated(
        self, batch_id: str, run_id: str, now: datetime, outcomes: Mapping[int, str]
    ) -> None:
        self._require_holder(batch_id, run_id)
        for seq, outcome in outcomes.items():
            self.rows[seq - 1].outcome = outcome
        self._set(batch_id, validated_at=now)

    def mark_sink_done(self, batch_id: str, sink: str, run_id: str) -> None:
        self._require_holder(batch_id, run_id)
        states = self.sink_states[batch_id]
        states[sink] = replace(states[sink], state="done")
        self._set(batch_id, deaths=0)
        self._close_if_done(batch_id)

    def _require_holder(self, batch_id: str, run_id: str) -> None:
        batch = self.batches[batch_id]
        if batch.run_id != run_id or batch.state not in HELD:
            raise BatchHeldElsewhere(run_id)

    def _close_if_done(self, batch_id: str) -> bool:
        states = self.sink_states[batch_id].values()
        done = all(state.state in {"done", "retired"} for state in states)
        if done and self.batches[batch_id].validated_at is not None:
            self._set(batch_id, state="loaded", waiting_since=None, next_attempt_at=None)
            return True
        return False

    def reopen(self, batch_id: str) -> None:
        if self.batches[batch_id].state in {*TRIED_AGAIN, "failed_permanent"}:
            self._set(
                batch_id,
                state="pending",
                next_attempt_at=None,
                waiting_since=None,
                begun=0,
                deaths=0,
            )

    def _set(self, batch_id: str, **values: object) -> None:
        self.batches[batch_id] = replace(self.batches[batch_id], **values)  # type: ignore[arg-type]
