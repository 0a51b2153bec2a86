"""One tick of a landing sensor: look at the bucket, write the ledger, say which runs to ask for.

Belongs here: the order of the steps and the decision. Does not: Dagster
(sensors/landed.py) or SQL (arrivals.py, ledger.py).

A request is committed to the ledger before Dagster hears of it, and is repeated under the same run
key at every tick until its run reports that it runs: Dagster drops the repetitions, so that a
daemon killed in between, or a run deleted from its queue, loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from landing.arrival.arrivals import Backlog
from landing.arrival.batching import close_batches
from landing.arrival.cursor import Cursor
from landing.arrival.hints import Hinted, take_hints
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger import Batch, SinkState
from landing.arrival.ledger_postgres import PostgresLedger
from landing.arrival.scan import ScanResult, scan
from landing.arrival.source import UNIT_BYTES, Source
from landing.arrival.states import IN_FLIGHT, LOCK_GRACE, TRIED_AGAIN, run_key
from landing.stores.base import ObjectNotCurrent, ObjectStore

if TYPE_CHECKING:
    import psycopg

#: Batches made in one tick at most, so that a first look at a full bucket stays bounded.
MAX_NEW_BATCHES = 10


class Runs(Protocol):
    """What a tick asks Dagster about its runs."""

    def is_alive(self, run_id: str) -> bool:
        """Whether the run exists and has not finished."""
        ...

    def has_ended(self, run_key: str) -> bool:
        """Whether there are runs of this key and all have finished."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """A run to ask for. ``sinks`` are those not done; ``whole`` says that nothing is done yet.

    ``partition_key`` is what it works on.
    ``large`` batches are worth a process per sink. ``bytes`` are those of the objects.
    """

    batch_id: str
    partition_key: str
    pipeline: str
    attempt: int
    sinks: tuple[str, ...]
    validate: bool
    whole: bool
    large: bool
    objects: int
    bytes: int

    @property
    def run_key(self) -> str:
        """The same for every repetition of this attempt."""
        return run_key(self.batch_id, self.attempt)


@dataclass(frozen=True, slots=True)
class Tick:
    """What a tick did. ``changed`` is False when the backlog is what it was at the last tick."""

    requests: tuple[Request, ...]
    created: tuple[str, ...]
    lost: tuple[str, ...]
    scan: ScanResult
    backlog: Backlog
    changed: bool
    message: str
    cursor: str
    hinted: Hinted


def evaluate_tick(
    source: Source,
    store: ObjectStore,
    connection: psycopg.Connection[Any],
    cursor: str | None,
    *,
    now: Callable[[], datetime],
    deadline: float,
    clock: Callable[[], float],
    runs: Runs,
    hints: Sequence[str] = (),
) -> Tick:
    """One tick on the real ledger. ``connection`` is in autocommit mode.

    ``deadline`` is a reading of ``clock`` (seconds) after which no further page is listed.
    ``hints`` are keys that events named: they are looked up before the scan goes on, which would
    find them anyway. Raises ScanError when the bucket cannot be listed.
    """
    ledger = PostgresLedger(connection)
    return run_tick(
        source,
        store,
        ledger,
        cursor,
        now=now,
        deadline=deadline,
        clock=clock,
        runs=runs,
        hints=hints,
    )


def run_tick(
    source: Source,
    store: ObjectStore,
    ledger: PostgresLedger,
    cursor: str | None,
    *,
    now: Callable[[], datetime],
    deadline: float,
    clock: Callable[[], float],
    runs: Runs,
    hints: Sequence[str] = (),
) -> Tick:
    """One tick on its ledger; see :func:`evaluate_tick`."""
    before = Cursor.from_text(cursor)

    def record(versions: Sequence[ObjectVersion]) -> int:
        return ledger.record(source, versions, now())

    hinted = take_hints(store, source, hints, record, deadline=deadline, clock=clock, now=now)
    result = scan(store, source, before.position, record, deadline=deadline, clock=clock, now=now)
    unlocked, lost = _reap(source, ledger, runs, before.unlocked, now())
    with ledger.exclusive(source):
        created = _make_batches(source, store, ledger, now())
        batches = ledger.open_batches(source)
        attempts = [
            (batch, attempt)
            for batch, attempt in decide(batches, now(), source.max_in_flight)
            if batch.attempt == attempt or ledger.mark_requested(batch.batch_id, attempt, now())
        ]
        sinks = ledger.sinks([batch.batch_id for batch, _ in attempts])
    backlog = ledger.backlog(source)
    ledger.save_scan(source, result, now())
    after = Cursor(position=result.position, unlocked=unlocked, backlog=str(backlog))
    return Tick(
        requests=tuple(_request(source, batch, n, sinks[batch.batch_id]) for batch, n in attempts),
        created=tuple(created),
        lost=tuple(lost),
        scan=result,
        backlog=backlog,
        changed=after.backlog != before.backlog or result.new + hinted.new > 0,
        message=describe(source, result, backlog, hinted),
        cursor=after.to_text(),
        hinted=hinted,
    )


def decide(batches: Sequence[Batch], now: datetime, max_in_flight: int) -> list[tuple[Batch, int]]:
    """Which batches to request, oldest first, and as which attempt. Pure.

    Requested ones are requested again, as the same attempt. New ones, and transient failures and
    waiting ones whose time has come, get their next attempt while fewer than ``max_in_flight`` are
    in flight. Permanent failures wait for an operator.
    """
    chosen = [(batch, batch.attempt) for batch in batches if batch.state == "requested"]
    free = max_in_flight - sum(batch.state in IN_FLIGHT for batch in batches)
    due = [
        (batch, batch.attempt + 1)
        for batch in batches
        if batch.state == "pending"
        or (
            batch.state in TRIED_AGAIN
            and (batch.next_attempt_at is None or batch.next_attempt_at <= now)
        )
    ]
    return sorted(chosen + due[: max(free, 0)], key=lambda choice: choice[0].batch_id)


def describe(
    source: Source, result: ScanResult, backlog: Backlog, hinted: Hinted | None = None
) -> str:
    """A tick in one line, for those who look why nothing happens."""
    named = f"events named {hinted.keys}, new {hinted.new}; " if hinted and hinted.keys else ""
    ignored = ", ".join(f"{count} {reason}" for reason, count in sorted(result.ignored.items()))
    position = result.position
    where = "cycle done" if result.finished_cycle else f"stopped after {position.after!r}"
    return (
        f"{source.bucket}/{source.prefix}: listed {result.listed}, known {result.known}, "
        f"new {result.new}, ignored {ignored or 0}; {where}, cycle {position.cycle}; {named}"
        f"waiting: {backlog.unassigned} objects, {backlog.waiting} batches; "
        f"in flight {backlog.in_flight}, to be tried again {backlog.failed}, "
        f"waiting for somebody else's work {backlog.elsewhere}, "
        f"for an operator {backlog.stopped}"
    )


def _make_batches(
    source: Source, store: ObjectStore, ledger: PostgresLedger, now: datetime
) -> list[str]:
    most = MAX_NEW_BATCHES * source.max_objects
    arrivals = ledger.unassigned(source, most, unit_of(source, store))
    if not arrivals:
        return []
    busy = any(
        batch.state == "pending" or batch.state in IN_FLIGHT
        for batch in ledger.open_batches(source)
    )
    closed = close_batches(arrivals, source, idle=not busy, now=now)
    return [ledger.create_batch(source, group, now) for group in closed[:MAX_NEW_BATCHES]]


def unit_of(source: Source, store: ObjectStore) -> Callable[[ObjectVersion], str] | None:
    """How an object's partition is told by what it holds; None where it is not."""
    unit_in = source.unit_in
    if unit_in is None:
        return None

    def read(version: ObjectVersion) -> str:
        try:
            with store.open(version) as stream:
                held = stream.read(UNIT_BYTES + 1)
        except ObjectNotCurrent:
            held = b""  # its batch finds that out, too, and says so
        return unit_in(held)

    return read


def _reap(
    source: Source,
    ledger: PostgresLedger,
    runs: Runs,
    unlocked: Mapping[str, datetime],
    now: datetime,
) -> tuple[dict[str, datetime], list[str]]:
    """Batches whose run is over without having said so: since when, and which are given up."""
    suspects: dict[str, datetime] = {}
    lost: list[str] = []
    for batch in ledger.open_batches(source):
        if batch.state == "requested":
            if runs.has_ended(run_key(batch.batch_id, batch.attempt)):
                error = "the run ended before it reported that it runs; see it in Dagster"
                if ledger.mark_lost(batch, error=error, now=now):
                    lost.append(batch.batch_id)
        elif batch.state == "running" and batch.run_id is not None:
            if ledger.run_lock_held(batch.run_id) or runs.is_alive(batch.run_id):
                continue
            run = f"{batch.batch_id}/{batch.run_id}"
            since = min(unlocked.get(run, now), now)
            if now - since < LOCK_GRACE:
                suspects[run] = since
                continue
            error = f"run {batch.run_id} ended, or its process died, without reporting a result"
            if ledger.mark_lost(batch, error=error, now=now):
                lost.append(batch.batch_id)
    return suspects, lost


def _request(source: Source, batch: Batch, attempt: int, sinks: Sequence[SinkState]) -> Request:
    undone = tuple(sink.sink for sink in sinks if sink.state != "done")
    # Validation decides what is left to do; without any sink to do, or without what it staged, it
    # has to run again.
    validate = batch.validated_at is None or batch.restage or not undone
    return Request(
        batch_id=batch.batch_id,
        partition_key=batch.partition_key,
        pipeline=batch.pipeline,
        attempt=attempt,
        sinks=undone,
        validate=validate,
        whole=validate and len(undone) in {0, len(sinks)},
        large=batch.bytes > source.large_bytes,
        objects=batch.objects,
        bytes=batch.bytes,
    )
