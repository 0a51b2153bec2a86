"""Validation of a batch: read once, decide in one transaction, stage and quarantine, commit.

Belongs here: the steps that every pipeline of files shares. Does not: formats, rules, columns.
Nothing that outlives a killed run is visible before the commit: keys are deterministic, local
files have no name, candidates are temporary. Running it again gives the same end state.
Imported lazily: needs polars.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from landing.arrival.identity import ObjectVersion
from landing.batch import quarantine, staging, winners
from landing.batch.counts import ObjectCounts, RowCounts, UnbalancedCounts, total
from landing.batch.decision import Decision, EveryRow, WinningRows
from landing.batch.delivery import close_if_done
from landing.batch.failures import TransientError
from landing.batch.object_reading import Parse, Reader, Reading, from_names, from_store
from landing.batch.reasons import REJECTED_BY_SINK, UNREADABLE, RejectReason, duplicate
from landing.batch.row_buffer import PREVIEW_ROWS, RowBuffer, Withheld
from landing.batch.staging import StagedPart
from landing.batch.validation_ledger import (
    ValidationBatch,
    load_batch,
    reset_sinks,
    save_outcomes,
)
from landing.batch.winners import Mode, RecordTable
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

    @property
    def table(self) -> RecordTable:
        """Its current records."""
        return RecordTable(self.name, self.attributes, self.records)

    @property
    def by_code(self) -> dict[str, RejectReason]:
        """All reasons for which a row or a file may be rejected."""
        own = (*self.reasons, duplicate(self.key), UNREADABLE, REJECTED_BY_SINK)
        return {reason.code: reason for reason in own}

    def decision(self, conn: psycopg.Connection[Any]) -> Decision:
        """Which rows of a batch are staged."""
        return WinningRows(conn, self.table, self.key, self.event_time)


@dataclass(frozen=True, slots=True)
class FactRules:
    """What a pipeline of files supplies whose rows are facts, which no later row changes.

    ``read`` yields chunks whose accepted rows have the ``columns`` and ``line``. All of them are
    staged and count as written; a sink that has a row already takes it for what it has.
    ``reasons`` are those for which ``read`` rejects. ``names_only`` where objects are not opened.
    """

    name: str
    columns: tuple[str, ...]
    sinks: tuple[str, ...]
    read: Parse
    reasons: tuple[RejectReason, ...] = ()
    names_only: bool = False

    @property
    def by_code(self) -> dict[str, RejectReason]:
        """All reasons for which a row or a file may be rejected."""
        shared = () if self.names_only else (UNREADABLE, REJECTED_BY_SINK)
        return {reason.code: reason for reason in (*self.reasons, *shared)}

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
    mode: Mode
    objects: tuple[ObjectCounts, ...]
    rows: RowCounts
    reasons: dict[str, int]
    parts: tuple[StagedPart, ...]
    quarantine_key: str | None
    seconds: float
    #: At most 10 of the staged rows, as they are staged.
    preview: tuple[dict[str, Any], ...] = field(repr=False)

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
    went missing, TransientError when the batch changed hands or an object vanished while it was
    read, and whatever the stores raise.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        conn = stack.enter_context(pg.connect(autocommit=True))
        batch = load_batch(conn, pipeline.name, batch_id)
        parts = staging.load_parts(conn, batch_id)
        if batch.validated_at is not None and _reusable(store, batch, parts):
            return _reuse(conn, store, pipeline, batch, parts, started=started)
        decision, reasons = pipeline.decision(conn), pipeline.by_code
        buffer = stack.enter_context(RowBuffer(pipeline.columns, decision, reasons, log))
        read = reader or _reader(landing or store, pipeline)
        with read([version.version for version in batch.versions]) as reading:
            buffer.read_batch(
                reading, batch, started=started, probe=partial(_look_at, landing or store)
            )
        result = _commit(
            conn, pipeline, batch, buffer,
            store=store, quarantine_store=quarantine_store, reading=reading, started=started,
            put_off=put_off,
        )  # fmt: skip
    log.info(
        "batch_validated batch=%s run=%s mode=%s rows=%s staged=%d seconds=%.1f",
        batch_id, run_id, result.mode, result.rows, result.staged_rows, result.seconds,
    )  # fmt: skip
    return result


def _reader(store: ObjectStore, pipeline: Rules) -> Reader:
    if isinstance(pipeline, FactRules) and pipeline.names_only:
        return from_names(pipeline.read)
    return from_store(store, pipeline.read)


def _look_at(store: ObjectStore, version: ObjectVersion) -> None:
    with store.open(version) as stream:
        stream.read(1)


def _reusable(store: ObjectStore, batch: ValidationBatch, parts: tuple[StagedPart, ...]) -> bool:
    """Whether everything that the first validation staged is still there."""
    written = sum(version.counts.rows.written for version in batch.versions)
    if sum(part.rows for part in parts) < written:
        return False
    return staging.intact(store, parts)


def _reuse(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    pipeline: Rules,
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
    *,
    started: float,
) -> ValidationResult:
    preview = next(staging.read_parts(store, parts, rows=PREVIEW_ROWS), pl.DataFrame())
    with conn.transaction():
        winners.lock_pipeline(conn, pipeline.name)
        reset_sinks(conn, batch.batch_id, pipeline.sinks, done=not parts)
        if not parts:
            close_if_done(conn, batch.batch_id)
    return _ledger_result(conn, batch, parts, started, tuple(preview.to_dicts()))


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
    )


def _commit(
    conn: psycopg.Connection[Any],
    pipeline: Rules,
    batch: ValidationBatch,
    buffer: RowBuffer,
    *,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    reading: Reading,
    started: float,
    put_off: PutOff | None,
) -> ValidationResult:
    """Decide, write staging and quarantine, then make all of it visible at once."""
    mode: Mode = "deliver" if batch.validated_at is None else "rewrite"
    batch_id = batch.batch_id
    for one in buffer.withheld:
        # A batch that is written again has all of its rows.
        again = mode == "rewrite" and one.ledgered.counts.outcome == "loaded"
        if again or (one in buffer.put_off and put_off is None):
            raise one.failure from one.error
    with conn.transaction():
        winners.lock_pipeline(conn, pipeline.name)
        row = conn.execute(
            "SELECT validated_at FROM landing.batch WHERE batch_id = %s FOR UPDATE", (batch_id,)
        ).fetchone()
        if row != (batch.validated_at,):
            raise TransientError(f"batch {batch_id} was validated by another run meanwhile")
        objects = buffer.outcomes(buffer.decision.decide(mode))
        with staging.StagingWriter(store, pipeline.name, batch_id) as writer:
            preview = buffer.stage(writer)
            parts = writer.finish()
        staged = sum(part.rows for part in parts)
        written = sum(counts.rows.written for counts in objects)
        if staged != written:
            raise UnbalancedCounts(f"batch {batch_id}: {staged} rows staged, not {written}")
        if mode == "deliver":
            key = buffer.rejects.put(quarantine_store, pipeline.name, batch_id)
            buffer.decision.apply(batch_id)
            save_outcomes(conn, batch_id, objects)
            reading.save(conn, objects)
            quarantine.save(conn, batch_id, quarantine_store.bucket, key, buffer.rejects)
            if put_off and buffer.put_off:
                put_off(conn, batch_id, buffer.put_off)
        staging.save_parts(conn, batch_id, parts)
        reset_sinks(conn, batch_id, pipeline.sinks, done=not parts)
        if not parts:
            close_if_done(conn, batch_id)
    if mode == "rewrite":
        return _ledger_result(conn, batch, parts, started, preview)
    return ValidationResult(
        batch_id=batch_id,
        mode=mode,
        objects=objects,
        rows=total(counts.rows for counts in objects),
        reasons=dict(buffer.rejects.reasons),
        parts=parts,
        quarantine_key=key,
        seconds=time.monotonic() - started,
        preview=preview,
    )
