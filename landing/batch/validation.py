"""Validation of a batch: read once, decide in one transaction, stage and quarantine, commit.

Belongs here: the steps that every pipeline of files shares. Does not: formats, rules, columns.
Nothing that outlives a killed run is visible before the commit: keys are deterministic, local
files have no name, candidates are temporary. Running it again gives the same end state.
Imported lazily: needs polars.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from landing.arrival.identity import ObjectVersion
from landing.batch import origins, quarantine, rewriting, staging, winners
from landing.batch.counts import ObjectCounts, RowCounts, UnbalancedCounts, total
from landing.batch.decision import Decision, EveryRow, WinningRows
from landing.batch.delivery import close_if_done
from landing.batch.failures import TransientError
from landing.batch.holding import require_holder
from landing.batch.object_reading import Parse, Reader, Reading, from_names, from_store
from landing.batch.parquet import Tally
from landing.batch.reasons import (
    KILLS_PROCESS,
    REJECTED_BY_SINK,
    UNREADABLE,
    RejectReason,
    duplicate,
)
from landing.batch.records import Overruled, RecordTable
from landing.batch.rewriting import RecordsLost
from landing.batch.row_buffer import PREVIEW_ROWS, RowBuffer, Withheld
from landing.batch.set_aside import without_set_aside
from landing.batch.staging import StagedPart
from landing.batch.validation_ledger import (
    ValidationBatch,
    load_batch,
    note_lost,
    reset_sinks,
    save_outcomes,
)
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource


@dataclass(frozen=True, slots=True)
class RecordRules:
    """What a pipeline of files supplies whose rows tell of records, the latest of each counting.

    ``read`` yields chunks whose accepted rows have the ``columns`` (the key first, the event time
    in UTC, if there is one, and ``row_hash`` among them), ``line`` and ``text``; it raises
    UnreadableObject before its first chunk. ``event_time`` is None when records carry no time of
    their own: then the one whose object arrived later is the newer, and in one object the later
    line. ``attributes`` are those of ``columns`` that the record table keeps. ``reasons`` are those
    for which ``read`` rejects. ``records`` is their kind, if the pipeline has several.
    ``by_object`` where each record belongs to its object, whose next version may take it back.
    """

    name: str
    key: str
    event_time: str | None
    columns: tuple[str, ...]
    attributes: tuple[str, ...]
    sinks: tuple[str, ...]
    read: Parse
    reasons: tuple[RejectReason, ...] = ()
    records: str = ""
    by_object: bool = False

    @property
    def table(self) -> RecordTable:
        """Its current records."""
        return RecordTable(self.name, self.attributes, self.records, self.by_object)

    @property
    def by_code(self) -> dict[str, RejectReason]:
        """All reasons for which a row or a file may be rejected."""
        own = (duplicate(self.key), UNREADABLE, REJECTED_BY_SINK, KILLS_PROCESS)
        return {reason.code: reason for reason in (*self.reasons, *own)}

    def decision(self, conn: psycopg.Connection[Any]) -> Decision:
        """Which rows of a batch are staged."""
        return WinningRows(conn, self.table, self.key, self.event_time)


@dataclass(frozen=True, slots=True)
class FactRules:
    """What a pipeline of files supplies whose rows are facts, which no later row changes.

    ``read`` yields chunks whose accepted rows have the ``columns`` and ``line``. All of them are
    staged and count as written; a sink that has a row already takes it for what it has.
    ``reasons`` are those for which ``read`` rejects. ``names_only`` where objects are not opened.
    ``tally`` counts rows by what the sinks want to know of the batch without reading it.
    """

    name: str
    columns: tuple[str, ...]
    sinks: tuple[str, ...]
    read: Parse
    reasons: tuple[RejectReason, ...] = ()
    names_only: bool = False
    tally: Tally | None = None

    @property
    def by_code(self) -> dict[str, RejectReason]:
        """All reasons for which a row or a file may be rejected."""
        shared = () if self.names_only else (UNREADABLE, REJECTED_BY_SINK)
        return {reason.code: reason for reason in (*self.reasons, *shared, KILLS_PROCESS)}

    def decision(self, _conn: psycopg.Connection[Any]) -> Decision:
        """Every row of a batch is staged."""
        return EveryRow()


Rules = RecordRules | FactRules


#: Takes objects out of a batch, in the transaction that commits what was made of the others.
PutOff = Callable[["psycopg.Connection[Any]", str, Sequence[Withheld]], None]


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What validation made of a batch.

    In rewrite mode the counts are those of the first validation, as the ledger keeps them, and
    ``staged_rows`` is what goes to the sinks again.
    """

    batch_id: str
    mode: winners.Mode
    objects: tuple[ObjectCounts, ...]
    rows: RowCounts
    reasons: dict[str, int]
    parts: tuple[StagedPart, ...]
    quarantine_key: str | None
    seconds: float
    #: At most 10 of the staged rows, as they are staged.
    preview: tuple[dict[str, Any], ...] = field(repr=False)
    #: At most 10 of the rows that a newer version overruled; none of them in rewrite mode.
    overruled: tuple[Overruled, ...] = field(default=(), repr=False)
    #: Records that an object of the batch told of before and no longer does.
    withdrawn: int = 0
    #: Of objects that were not as usual and read all the same: URI, and how often what was noted.
    notes: Mapping[str, Mapping[str, int]] = field(default_factory=dict, repr=False)

    @property
    def staged_rows(self) -> int:
        """Rows that the sinks will be given."""
        return sum(part.rows for part in self.parts)


def validate(
    pg: PostgresResource,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    pipeline: Rules,
    *,
    batch_id: str,
    run_id: str,
    log: logging.Logger,
    landing: ObjectStore | None = None,
    reader: Reader | None = None,
    put_off: PutOff | None = None,
) -> ValidationResult:
    """Validate a batch, or stage it again when it was validated before.

    ``store`` takes the staging. The objects are read from it too, unless they are in ``landing`` or
    ``reader`` does that. ``put_off`` is given objects that their store does not give for now, while
    it gives others; without it they fail the batch.
    Raises PermanentError for a batch that the ledger does not hold, UnbalancedCounts when rows
    went missing, BatchHeldElsewhere when the batch changed hands, TransientError when an object
    vanished while it was read, landing.batch.rewriting.RecordsLost when neither the staging nor the
    objects of a validated batch give all that it has to, and whatever the stores raise.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        conn = stack.enter_context(pg.connect(autocommit=True))
        batch = load_batch(conn, pipeline.name, batch_id)
        parts = staging.load_parts(conn, batch_id)
        if batch.validated_at is not None and _reusable(conn, store, pipeline, batch, parts):
            return _reuse(conn, store, pipeline, batch, parts, run_id=run_id, started=started)
        decision, reasons = pipeline.decision(conn), pipeline.by_code
        buffer = stack.enter_context(
            RowBuffer(pipeline.columns, decision, reasons, log, _tally(pipeline))
        )
        read = without_set_aside(reader or _reader(landing or store, pipeline), batch.versions)
        with read([version.version for version in batch.versions]) as reading:
            buffer.read_batch(
                reading, batch, started=started, probe=partial(_look_at, landing or store)
            )
        if batch.validated_at is None:
            result = _commit(
                conn, pipeline, batch, buffer, run_id=run_id,
                store=store, quarantine_store=quarantine_store, reading=reading, started=started,
                put_off=put_off,
            )  # fmt: skip
        else:
            try:
                result = _rewrite(
                    conn, pipeline, batch, buffer, parts,
                    run_id=run_id, store=store, started=started,
                )  # fmt: skip
            except RecordsLost as lost:
                note_lost(conn, batch_id, lost.records)
                raise
    log.info(
        "batch_validated batch=%s run=%s mode=%s rows=%s staged=%d seconds=%.1f",
        batch_id, run_id, result.mode, result.rows, result.staged_rows, result.seconds,
    )  # fmt: skip
    return result


def _tally(pipeline: Rules) -> Tally | None:
    return pipeline.tally if isinstance(pipeline, FactRules) else None


def _reader(store: ObjectStore, pipeline: Rules) -> Reader:
    if isinstance(pipeline, FactRules) and pipeline.names_only:
        return from_names(pipeline.read)
    return from_store(store, pipeline.read)


def _look_at(store: ObjectStore, version: ObjectVersion) -> None:
    with store.open(version) as stream:
        stream.read(1)


def _reusable(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    pipeline: Rules,
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
) -> bool:
    """Whether the staging has all that the batch has to give."""
    if isinstance(pipeline, FactRules):
        return rewriting.holds_facts(store, batch, parts)
    return rewriting.holds_records(conn, store, pipeline.table, batch.batch_id, parts)


def _reuse(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    pipeline: Rules,
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
    *,
    run_id: str,
    started: float,
) -> ValidationResult:
    preview = next(staging.read_parts(store, parts, rows=PREVIEW_ROWS), pl.DataFrame())
    with conn.transaction():
        require_holder(conn, batch.batch_id, run_id)
        _offer(conn, pipeline, batch, parts)
    return _ledger_result(conn, batch, parts, started, tuple(preview.to_dicts()))


def _offer(
    conn: psycopg.Connection[Any],
    pipeline: Rules,
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
) -> None:
    """Let the sinks take what is staged or withdrawn; without any, they are done."""
    undone_only = batch.restage and batch.validated_at is not None
    done = not parts and not origins.taken_back(conn, batch.batch_id)
    reset_sinks(conn, batch.batch_id, pipeline.sinks, done=done, undone_only=undone_only)
    if done:
        close_if_done(conn, batch.batch_id)


def _lock(
    conn: psycopg.Connection[Any], pipeline: Rules, batch: ValidationBatch, run_id: str
) -> None:
    """Decide alone, until the transaction ends.

    Raises BatchHeldElsewhere, and TransientError when another run has decided meanwhile.
    """
    winners.lock_pipeline(conn, pipeline.name)
    require_holder(conn, batch.batch_id, run_id)
    row = conn.execute(
        "SELECT validated_at FROM landing.batch WHERE batch_id = %s FOR UPDATE", (batch.batch_id,)
    ).fetchone()
    if row != (batch.validated_at,):
        raise TransientError(f"batch {batch.batch_id} was validated by another run meanwhile")


def _rewrite(
    conn: psycopg.Connection[Any],
    pipeline: Rules,
    batch: ValidationBatch,
    buffer: RowBuffer,
    before: tuple[StagedPart, ...],
    *,
    run_id: str,
    store: ObjectStore,
    started: float,
) -> ValidationResult:
    """Stage what the objects give, and of what they no longer do, what the staging still has.

    The parts get names of their own: until the commit the old ones are the batch's.
    """
    batch_id = batch.batch_id
    with ExitStack() as stack:
        stack.enter_context(conn.transaction())
        _lock(conn, pipeline, batch, run_id)
        objects = buffer.decide("rewrite")
        rest = None
        if isinstance(pipeline, FactRules):
            _require_all(buffer)
            rewriting.require_facts(batch, objects)
        else:
            rest = stack.enter_context(
                rewriting.Remainder(conn, store, pipeline.table, batch_id, before)
            )
            if rest.lost:
                _require_all(buffer)
            rewriting.require_records(batch, objects, rest.lost)
        first = max((part.part + 1 for part in before), default=0)
        writer = stack.enter_context(
            staging.StagingWriter(
                store, pipeline.name, batch_id, first=first, tally=_tally(pipeline)
            )
        )
        preview = buffer.stage(writer)
        for frame in rest.frames() if rest else ():
            writer.add(frame)
        parts = writer.finish()
        expected = buffer.records_written + (rest.rows if rest else 0)
        _require_staged(batch_id, parts, expected)
        staging.save_parts(conn, batch_id, parts)
        _offer(conn, pipeline, batch, parts)
    staging.remove(store, before)
    return _ledger_result(conn, batch, parts, started, preview)


def _require_all(buffer: RowBuffer) -> None:
    """Raises the failure of the first object that its store does not give for now."""
    for one in buffer.put_off:
        raise one.failure from one.error


def _require_staged(batch_id: str, parts: tuple[StagedPart, ...], records: int) -> None:
    staged = sum(part.rows for part in parts)
    if staged != records:
        raise UnbalancedCounts(f"batch {batch_id}: {staged} rows staged, not {records}")


def _ledger_result(
    conn: psycopg.Connection[Any],
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
    started: float,
    preview: tuple[dict[str, Any], ...],
) -> ValidationResult:
    """The result of a rewrite: counts and rejects stay those of the first validation."""
    rejects = quarantine.quarantined(conn, batch_id=batch.batch_id)
    objects = tuple(version.counts for version in batch.versions)
    return ValidationResult(
        batch_id=batch.batch_id,
        mode="rewrite",
        objects=objects,
        rows=total(count.rows for count in objects),
        reasons=rejects[0].reasons if rejects else {},
        parts=parts,
        quarantine_key=rejects[0].key if rejects else None,
        seconds=time.monotonic() - started,
        preview=preview,
        withdrawn=origins.taken_back(conn, batch.batch_id),
    )


def _commit(
    conn: psycopg.Connection[Any],
    pipeline: Rules,
    batch: ValidationBatch,
    buffer: RowBuffer,
    *,
    run_id: str,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    reading: Reading,
    started: float,
    put_off: PutOff | None,
) -> ValidationResult:
    """Decide, write staging and quarantine, then make all of it visible at once."""
    batch_id = batch.batch_id
    if put_off is None:
        _require_all(buffer)
    with conn.transaction():
        _lock(conn, pipeline, batch, run_id)
        objects = buffer.decide("deliver")
        with staging.StagingWriter(
            store, pipeline.name, batch_id, tally=_tally(pipeline)
        ) as writer:
            preview = buffer.stage(writer)
            parts = writer.finish()
        _require_staged(batch_id, parts, buffer.records_written)
        key = buffer.rejects.put(quarantine_store, pipeline.name, batch_id)
        withdrawn = buffer.decision.apply(batch_id)
        overruled = buffer.decision.overruled()
        save_outcomes(conn, batch_id, objects)
        reading.save(conn, objects)
        quarantine.save(conn, batch_id, quarantine_store.bucket, key, buffer.rejects)
        if put_off and buffer.put_off:
            put_off(conn, batch_id, buffer.put_off)
        staging.save_parts(conn, batch_id, parts)
        _offer(conn, pipeline, batch, parts)
    return ValidationResult(
        batch_id=batch_id,
        mode="deliver",
        objects=objects,
        rows=total(counts.rows for counts in objects),
        reasons=dict(buffer.rejects.reasons),
        parts=parts,
        quarantine_key=key,
        seconds=time.monotonic() - started,
        preview=preview,
        overruled=overruled,
        withdrawn=withdrawn,
        notes=buffer.notes,
    )
