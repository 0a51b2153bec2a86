"""Validation of a batch: read once, decide in one transaction, stage and quarantine, commit.

Belongs here: the steps that every pipeline of files shares. Does not: formats, rules, columns.
Nothing that outlives a killed run is visible before the commit: keys are deterministic, local
files have no name, candidates are temporary. Running it again gives the same end state.
Imported lazily: needs polars.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import polars as pl  # noqa: TID253

from landing import quarantine, staging, winners
from landing.chunks import REJECT_SCHEMA, Chunk, UnreadableObject, cut_texts
from landing.counts import ObjectCounts, Outcome, RowCounts, UnbalancedCounts, total
from landing.delivery import close_if_done
from landing.failures import TransientError
from landing.parquet import ParquetFile, read_frames
from landing.staging import StagedPart
from landing.stores.base import ObjectGone, ObjectNotCurrent, ObjectStore
from landing.validation_ledger import (
    LedgeredVersion,
    ValidationBatch,
    load_batch,
    reset_sinks,
    save_outcomes,
)
from landing.winners import Mode, RecordTable

if TYPE_CHECKING:
    import psycopg

    from resources.postgres import PostgresResource

_PREVIEW_ROWS = 10
_LOG_EVERY = 5.0
_SPOOL_GROUP_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a pipeline of files supplies.

    ``read`` yields chunks whose accepted rows have the ``columns`` (the key first, the event time
    in UTC and ``row_hash`` among them), ``line`` and ``text``; it raises UnreadableObject before
    its first chunk. ``attributes`` are those of ``columns`` that the record table keeps.
    """

    name: str
    key: str
    event_time: str
    columns: tuple[str, ...]
    attributes: tuple[str, ...]
    sinks: tuple[str, ...]
    read: Callable[[BinaryIO], Iterator[Chunk]]

    @property
    def table(self) -> RecordTable:
        """Its current records."""
        return RecordTable(self.name, self.attributes)


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
    pipeline: Pipeline,
    *,
    batch_id: str,
    run_id: str,
    log: logging.Logger,
) -> ValidationResult:
    """Validate a batch, or stage it again when it was validated before.

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
        spool = stack.enter_context(_Spool(conn, pipeline, log))
        for number, version in enumerate(batch.versions, start=1):
            spool.read(store, version)
            log.info(
                "object_validated batch=%s object=%d/%d uri=%s rows=%d seconds=%.1f",
                batch_id, number, len(batch.versions), version.version.uri,
                spool.rows_read, time.monotonic() - started,
            )  # fmt: skip
        result = _commit(conn, spool, store, quarantine_store, batch, started=started)
    log.info(
        "batch_validated batch=%s run=%s mode=%s rows=%s staged=%d seconds=%.1f",
        batch_id, run_id, result.mode, result.rows, result.staged_rows, result.seconds,
    )  # fmt: skip
    return result


def _reusable(store: ObjectStore, batch: ValidationBatch, parts: tuple[StagedPart, ...]) -> bool:
    """Whether everything that the first validation staged is still there."""
    written = sum(version.counts.rows.written for version in batch.versions)
    if sum(part.rows for part in parts) < written:
        return False
    return staging.intact(store, parts)


def _reuse(
    conn: psycopg.Connection[Any],
    store: ObjectStore,
    pipeline: Pipeline,
    batch: ValidationBatch,
    parts: tuple[StagedPart, ...],
    *,
    started: float,
) -> ValidationResult:
    preview = next(staging.read_parts(store, parts, rows=_PREVIEW_ROWS), pl.DataFrame())
    with conn.transaction():
        winners.lock_pipeline(conn, pipeline.table)
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
    spool: _Spool,
    store: ObjectStore,
    quarantine_store: ObjectStore,
    batch: ValidationBatch,
    *,
    started: float,
) -> ValidationResult:
    """Decide, write staging and quarantine, then make all of it visible at once."""
    mode: Mode = "deliver" if batch.validated_at is None else "rewrite"
    pipeline, batch_id = spool.pipeline, batch.batch_id
    with conn.transaction():
        winners.lock_pipeline(conn, pipeline.table)
        row = conn.execute(
            "SELECT validated_at FROM landing.batch WHERE batch_id = %s FOR UPDATE", (batch_id,)
        ).fetchone()
        if row != (batch.validated_at,):
            raise TransientError(f"batch {batch_id} was validated by another run meanwhile")
        winners.decide(conn, pipeline.table, mode)
        objects = spool.outcomes(winners.count_statuses(conn))
        with staging.StagingWriter(store, pipeline.name, batch_id) as writer:
            preview = spool.stage(writer)
            parts = writer.finish()
        staged = sum(part.rows for part in parts)
        written = sum(counts.rows.written for counts in objects)
        if staged != written:
            raise UnbalancedCounts(f"batch {batch_id}: {written} rows won, {staged} were staged")
        if mode == "deliver":
            key = spool.rejects.put(quarantine_store, pipeline.name, batch_id)
            winners.apply(conn, pipeline.table, batch_id)
            save_outcomes(conn, batch_id, objects)
            quarantine.save(conn, batch_id, quarantine_store.bucket, key, spool.rejects)
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
        reasons=dict(spool.rejects.reasons),
        parts=parts,
        quarantine_key=key,
        seconds=time.monotonic() - started,
        preview=preview,
    )


class _Spool:
    """A batch's rows on local disk and its candidates in Postgres, until the batch is decided."""

    def __init__(
        self, conn: psycopg.Connection[Any], pipeline: Pipeline, log: logging.Logger
    ) -> None:
        self.pipeline = pipeline
        self.rejects = quarantine.QuarantineWriter()
        self.rows_read = 0
        self._conn = conn
        self._log = log
        self._file = ParquetFile(group_rows=_SPOOL_GROUP_ROWS)
        self._read: list[tuple[LedgeredVersion, ObjectCounts]] = []
        self._versions: dict[int, LedgeredVersion] = {}
        winners.create_candidates(conn, pipeline.table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.rejects.__exit__(None, None, None)

    def read(self, store: ObjectStore, ledgered: LedgeredVersion) -> None:
        """Read one object to its end, unless it is not there or not readable."""
        version, rows = ledgered.version, RowCounts()
        outcome: Outcome = "loaded"
        reason: str | None = None
        try:
            with store.open(version) as stream:
                rows = self._read_chunks(stream, ledgered)
        except ObjectNotCurrent as error:
            if ledgered.seq in self._versions:
                raise TransientError(f"{version.uri} vanished while it was read") from error
            outcome = "gone" if isinstance(error, ObjectGone) else "superseded"
        except UnreadableObject as error:
            if ledgered.seq in self._versions:
                raise
            outcome, reason = "rejected", f"{error.reason}: {error.detail}"
            self.rejects.add_object(version, error.reason, error.detail, error.text)
        counts = ObjectCounts(ledgered.seq, version.uri, outcome, reason, rows)
        self._read.append((ledgered, counts))

    def _read_chunks(self, stream: BinaryIO, ledgered: LedgeredVersion) -> RowCounts:
        read = rejected = 0
        started = logged = time.monotonic()
        for chunk in self.pipeline.read(stream):
            self._versions[ledgered.seq] = ledgered
            accepted = chunk.accepted.select(
                *self.pipeline.columns,
                pl.lit(ledgered.seq, pl.Int64).alias("seq"),
                "line",
                "text",
            )
            self.rejects.add(ledgered.version, chunk.rejected)
            if not accepted.is_empty():
                self._file.add(accepted)
                key, time_column = self.pipeline.key, self.pipeline.event_time
                winners.add_candidates(
                    self._conn,
                    self.pipeline.table,
                    accepted.with_columns(
                        pl.col(key).alias("key"), pl.col(time_column).alias("event_time")
                    ),
                )
            read += len(chunk.accepted) + len(chunk.rejected)
            rejected += len(chunk.rejected)
            self.rows_read += len(chunk.accepted) + len(chunk.rejected)
            if (now := time.monotonic()) - logged > _LOG_EVERY:
                logged = now
                self._log.info(
                    "validating uri=%s rows=%d rejected=%d rows_per_second=%.0f",
                    ledgered.version.uri, read, rejected, read / (now - started),
                )  # fmt: skip
        return RowCounts(read=read, rejected=rejected)

    def outcomes(self, decided: dict[int, RowCounts]) -> tuple[ObjectCounts, ...]:
        """Counts per object, reader's and decided ones together; each must balance."""
        objects = []
        for ledgered, counts in self._read:
            rows = decided.pop(ledgered.seq, RowCounts())
            merged = RowCounts(
                read=counts.rows.read,
                written=rows.written,
                unchanged=rows.unchanged,
                superseded=rows.superseded,
                rejected=counts.rows.rejected + rows.rejected,
            )
            merged.require_balance(counts.uri)
            objects.append(
                ObjectCounts(counts.seq, counts.uri, counts.outcome, counts.reason, merged)
            )
        if decided:
            raise UnbalancedCounts(f"rows were decided of objects never read: {sorted(decided)}")
        return tuple(objects)

    def stage(self, writer: staging.StagingWriter) -> tuple[dict[str, Any], ...]:
        """Second pass: winners to ``writer``, duplicates to the rejects. Returns a preview."""
        preview: list[dict[str, Any]] = []
        if not self._file.rows:
            return ()
        file = self._file.finish()
        origin = pl.DataFrame(
            [
                (seq, ledgered.version.uri, ledgered.seen_at)
                for seq, ledgered in self._versions.items()
            ],
            schema={
                "seq": pl.Int64,
                "source": pl.String,
                "ingested_at": pl.Datetime("us", "UTC"),
            },
            orient="row",
        )
        with winners.StatusReader(self._conn) as statuses:
            for frame in read_frames(file):
                decided = statuses.take(len(frame))
                if not decided.select("seq", "line").equals(frame.select("seq", "line")):
                    raise UnbalancedCounts("statuses and rows fell out of step")
                rows = frame.with_columns(decided["status"], decided["kept_line"])
                won = rows.filter(pl.col("status") == "written")
                won = won.select(*self.pipeline.columns, "seq", "line").join(
                    origin, on="seq", how="left", maintain_order="left"
                )
                preview += won.head(_PREVIEW_ROWS - len(preview)).to_dicts()
                writer.add(won)
                self._reject_duplicates(rows.filter(pl.col("status") == "duplicate"))
        return tuple(preview)

    def _reject_duplicates(self, rows: pl.DataFrame) -> None:
        for seq in rows.get_column("seq").unique(maintain_order=True):
            duplicates = rows.filter(pl.col("seq") == seq).with_columns(
                pl.lit(f"duplicate_{self.pipeline.key}").alias("reason"),
                pl.format("line {} is kept", "kept_line").alias("detail"),
            )
            rejects = cut_texts(duplicates).select(*REJECT_SCHEMA, "kept_line")
            self.rejects.add(self._versions[seq].version, rejects)
