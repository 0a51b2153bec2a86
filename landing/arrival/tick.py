"""One tick of a landing sensor: look at the bucket, write the ledger, say which runs to ask for.

Belongs here: the order of the steps. Does not: the choice among batches (requests.py), Dagster
(sensors/landed.py) or SQL (arrivals.py, ledger.py, queue.py).

A request is committed to the ledger before Dagster hears of it, and is repeated under the same run
key at every tick until its run reports that it runs: Dagster drops the repetitions, so that a
daemon killed in between, or a run deleted from its queue, loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Protocol

from landing.arrival.arrivals import Backlog
from landing.arrival.batching import close_batches
from landing.arrival.cursor import Cursor
from landing.arrival.declared_sinks import Reconciled
from landing.arrival.hints import Hinted, take_hints
from landing.arrival.identity import ObjectVersion
from landing.arrival.ledger import Batch, SinkState
from landing.arrival.ledger_postgres import PostgresLedger
from landing.arrival.requests import Request, choose, free_slots, request_for
from landing.arrival.scan import ScanResult, scan
from landing.arrival.source import UNIT_BYTES, Source
from landing.arrival.states import LOCK_GRACE, run_key
from landing.stores.base import ObjectNotCurrent, ObjectStore

if TYPE_CHECKING:
    import psycopg

#: Batches made in one tick at most, so that a first look at a full bucket stays bounded.
MAX_NEW_BATCHES = 10


#: How a run that has ended did, as far as its batch matters; ``began``: its process was there.
Ended = Literal["cancelled", "began", "never began"]


class Runs(Protocol):
    """What a tick asks Dagster about its runs, and tells it."""

    def how_ended(self, run_key: str) -> Ended | None:
        """How the run of this key ended; None when there is none, or one that has not."""
        ...

    def has_succeeded(self, run_id: str) -> bool:
        """Whether the run has ended, and well."""
        ...

    def give_up(self, run_id: str) -> Ended:
        """Report the run failed unless it has ended, for its process is gone; how it ended.

        One that was being cancelled is reported cancelled.
        """
        ...


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
    #: How many loaded batches a sink that a deploy has added was never given.
    lacking: Mapping[str, int] = field(default_factory=dict)
    #: What somebody should know: batches that were set apart, requests that could not be made.
    warnings: tuple[str, ...] = ()


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
    reaped = _reap(source, ledger, runs, before.unlocked, now())
    with ledger.exclusive(source):
        reconciled = ledger.reconcile(source, now())
        split = ledger.split_deadly(source, now())
        created = _make_batches(source, store, ledger, now())
        away = ledger.away_sinks(source)
        attempts, since_retry = _choose(source, ledger, away, before.since_retry, now())
        sinks = ledger.sinks([batch.batch_id for batch, _ in attempts])
        asked = [(batch, attempt, sinks[batch.batch_id]) for batch, attempt in attempts]
    requests, refused = _requests(source, ledger, asked, away, now())
    backlog = ledger.backlog(source)
    ledger.save_scan(source, result, now())
    after = Cursor(
        position=result.position,
        unlocked=reaped.unlocked,
        backlog=str(backlog),
        since_retry=since_retry,
    )
    return Tick(
        requests=requests,
        created=tuple(created),
        lost=tuple(reaped.lost),
        scan=result,
        backlog=backlog,
        changed=(
            after.backlog != before.backlog
            or result.new + hinted.new > 0
            or bool(reconciled.lacking)
        ),
        message=describe(source, result, backlog, hinted, reconciled),
        cursor=after.to_text(),
        hinted=hinted,
        lacking=reconciled.lacking,
        warnings=(*reaped.problems, *split, *refused, *filter(None, [str(reconciled)])),
    )


def _choose(
    source: Source, ledger: PostgresLedger, away: Sequence[str], since_retry: int, now: datetime
) -> tuple[list[tuple[Batch, int]], int]:
    """The batches to request, oldest first, and as which attempt; see requests.choose.

    Requested ones are requested again, as the same attempt. Before all others go those that probe
    a sink that is away; what lacks nothing but such sinks is not requested.
    """
    in_flight = ledger.in_flight(source)
    asked = [(batch, batch.attempt) for batch in in_flight if batch.state == "requested"]
    free = free_slots(in_flight, source.max_in_flight)
    if away:
        ledger.leave_to_wait(source, away, now)
    if free:
        probes = ledger.probes(source, now, free) if away else []
        new, due = ledger.next_new(source, free), ledger.next_due(source, now, free)
        ledger.reconcile_batches(source, [batch.batch_id for batch in (*new, *due)])
        chosen, since_retry = choose(new, due, free - len(probes), since_retry)
        asked += [
            (batch, batch.attempt + 1)
            for batch in (*probes, *chosen)
            if ledger.mark_requested(batch.batch_id, batch.attempt + 1, now)
        ]
    return sorted(asked, key=lambda choice: choice[0].batch_id), since_retry


def _requests(
    source: Source,
    ledger: PostgresLedger,
    asked: Sequence[tuple[Batch, int, Sequence[SinkState]]],
    away: Sequence[str],
    now: datetime,
) -> tuple[tuple[Request, ...], list[str]]:
    """What to ask for, and which batches it could not be made of: those are noted, and wait."""
    made: list[Request] = []
    refused: list[str] = []
    for batch, attempt, sinks in asked:
        try:
            made.append(request_for(source, batch, attempt, sinks, away))
        except Exception as error:  # noqa: BLE001 - one bad batch must not stop the others
            why = f"no run could be asked for: {type(error).__name__}: {error}"
            ledger.note_refused(batch.batch_id, attempt, error=why, now=now)
            refused.append(f"{batch.batch_id}: {why}")
    return tuple(made), refused


def describe(
    source: Source,
    result: ScanResult,
    backlog: Backlog,
    hinted: Hinted | None = None,
    reconciled: Reconciled | None = None,
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
        + (f"; {reconciled}" if reconciled and str(reconciled) else "")
    )


def _make_batches(
    source: Source, store: ObjectStore, ledger: PostgresLedger, now: datetime
) -> list[str]:
    most = MAX_NEW_BATCHES * source.max_objects
    arrivals = ledger.unassigned(source, most, unit_of(source, store))
    if not arrivals:
        return []
    closed = close_batches(arrivals, source, idle=not ledger.is_busy(source), now=now)
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


@dataclass(slots=True)
class _Reaped:
    """Since when runs are without their lock, the batches given up, and what went wrong."""

    unlocked: dict[str, datetime] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _reap(
    source: Source,
    ledger: PostgresLedger,
    runs: Runs,
    unlocked: Mapping[str, datetime],
    now: datetime,
) -> _Reaped:
    """Give up the batches whose run is over without having said so.

    A run that works is judged by its lock alone: Dagster may believe for hours that it goes on.
    """
    reaped, away = _Reaped(), ledger.away_sinks(source)
    for batch in ledger.in_flight(source):
        if batch.state == "requested":
            ended = runs.how_ended(run_key(batch.batch_id, batch.attempt))
            error = "the run ended before it reported that it runs; see it in Dagster"
        elif batch.run_id is None or ledger.run_lock_held(batch.run_id):
            continue
        else:
            well = away and runs.has_succeeded(batch.run_id)
            if well and ledger.mark_left(batch, away, now=now):
                continue
            run = f"{batch.batch_id}/{batch.run_id}"
            since = min(unlocked.get(run, now), now)
            if now - since < LOCK_GRACE:
                reaped.unlocked[run] = since
                continue
            error = f"run {batch.run_id} ended, or its process died, without reporting a result"
            try:
                ended = runs.give_up(batch.run_id)
            except Exception as problem:  # noqa: BLE001 - the batch goes on whatever Dagster says
                ended = "began"
                reaped.problems.append(f"run {batch.run_id} cannot be reported failed: {problem}")
        if ended == "cancelled":
            changed = ledger.mark_cancelled(batch, now=now)
        else:
            began = ended == "began"
            changed = ended is not None and ledger.mark_lost(
                batch, error=error, now=now, began=began
            )
        if changed:
            reaped.lost.append(batch.batch_id)
    return reaped
