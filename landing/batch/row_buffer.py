"""A batch's rows on local disk and its candidates in Postgres, until the batch is decided.

Belongs here: reading a batch's objects once, and the second pass over their rows. Does not: the
decision (``decision.py``) and the transaction that it is part of (``validation.py``).
Imported lazily: needs polars.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import polars as pl  # noqa: TID253

from landing.arrival.identity import ObjectVersion
from landing.batch import quarantine, staging
from landing.batch.chunks import REJECT_SCHEMA, Chunk, UnreadableObject, cut_texts
from landing.batch.counts import ObjectCounts, Outcome, RowCounts, UnbalancedCounts
from landing.batch.decision import Decision
from landing.batch.failures import FailureClass, PermanentError, TransientError
from landing.batch.object_reading import Reading
from landing.batch.origins import ReadVersion
from landing.batch.parquet import ParquetFile, Tally, read_frames
from landing.batch.reasons import UNREADABLE
from landing.batch.unavailable import IN_A_ROW, ObjectUnavailable, is_well, unavailable
from landing.batch.validation_ledger import LedgeredVersion, ValidationBatch
from landing.batch.winners import Mode
from landing.stores.base import ObjectGone, ObjectNotCurrent

PREVIEW_ROWS = 10
#: Files that are open at once: a process may have 1,024, with everything else that it has open.
MOST_FILES = 256
_LOG_EVERY = 5.0
#: Rows, or about so many bytes, that are gathered before they are written: objects may be as small
#: as one row.
_GATHERED_ROWS = 5_000
_GATHERED_BYTES = 4 * 1024 * 1024
#: In batches of at most so many objects each one is logged, in larger ones one every 5 seconds.
_OBJECTS_LOGGED = 20
_FAILURES: dict[FailureClass, type[Exception]] = {
    "permanent": PermanentError, "transient": TransientError, "unknown": RuntimeError,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Withheld:
    """An object that its store did not give, after it had given ``given`` others of the batch."""

    ledgered: LedgeredVersion
    told: ObjectUnavailable
    error: Exception
    given: int

    @property
    def failure(self) -> Exception:
        """The same as a failure of its batch, naming the object; raise it from ``error``."""
        return _FAILURES[self.told.kind](f"{self.ledgered.version.uri}: {self.told}")


class RowBuffer:
    """One batch's rows; use as a context manager."""

    def __init__(
        self,
        columns: Sequence[str],
        decision: Decision,
        reasons: Collection[str],
        log: logging.Logger,
        tally: Tally | None = None,
    ) -> None:
        self._own = frozenset(columns)
        # A pipeline may say itself where its rows come from.
        self._columns = tuple(dict.fromkeys([*columns, "seq", "line", "source", "ingested_at"]))
        self.decision = decision
        self.rejects = quarantine.QuarantineWriter(reasons)
        self.rows_read = 0
        #: Records that were decided to be written; most are a row of their object each.
        self.records_written = 0
        #: Of objects that were not as usual: URI, and how often what was noted of each.
        self.notes: dict[str, Counter[str]] = {}
        self._log = log
        self._files = staging.part_files(tally)
        self._full: list[ParquetFile] = []
        #: What does not become parts as it is: one file, however large.
        self._rest = ParquetFile(group_rows=staging.PART_ROWS)
        self._read: list[tuple[LedgeredVersion, ObjectCounts]] = []
        self._versions: dict[int, LedgeredVersion] = {}
        self._stands_for: dict[int, int] = {}
        self._pending: list[pl.DataFrame] = []
        self._pending_rows = self._pending_bytes = 0
        self._first: list[dict[str, Any]] = []
        self._forgotten: set[int] = set()
        self._given: list[LedgeredVersion] = []
        self._withheld: list[Withheld] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()
        for file in (*self._full, self._rest):
            file.close()
        self.rejects.__exit__(None, None, None)

    def read_batch(
        self,
        reading: Reading,
        batch: ValidationBatch,
        *,
        started: float,
        probe: Callable[[ObjectVersion], Any],
    ) -> None:
        """Read every object of the batch; ``started`` is a reading of the monotonic clock.

        An object that its store refuses is rejected by itself, or put off, if the store gives
        others: ``probe`` looks whether it still gives one that was read. Raises what the store
        raised where it does not.
        """
        count, logged = len(batch.versions), started
        for number, version in enumerate(batch.versions, start=1):
            self._read_object(reading, version)
            now = time.monotonic()
            if count <= _OBJECTS_LOGGED or number == count or now - logged > _LOG_EVERY:
                logged = now
                self._log.info(
                    "object_validated batch=%s object=%d/%d uri=%s rows=%d seconds=%.1f",
                    batch.batch_id, number, count, version.version.uri, self.rows_read,
                    now - started,
                )  # fmt: skip
        self._flush()
        self._judge_withheld(probe)

    @property
    def withheld(self) -> tuple[Withheld, ...]:
        """All objects that their store did not give."""
        return tuple(self._withheld)

    @property
    def put_off(self) -> tuple[Withheld, ...]:
        """Objects that could not be read for now; they have no outcome."""
        return tuple(one for one in self._withheld if one.told.kind != "permanent")

    def _read_object(self, reading: Reading, ledgered: LedgeredVersion) -> None:
        """Read one object to its end, unless it is not there or not readable."""
        version, rows = ledgered.version, RowCounts()
        outcome: Outcome = "loaded"
        reason: str | None = None
        try:
            rows = self._read_chunks(reading.chunks(version), ledgered)
        except ObjectNotCurrent as error:
            self._forget(ledgered)
            outcome = "gone" if isinstance(error, ObjectGone) else "superseded"
        except UnreadableObject as error:
            self._forget(ledgered)
            outcome, reason = "rejected", f"{error.reason}: {error.detail}"
            self.rejects.add_object(version, error.reason, error.detail, error.text)
        except Exception as error:
            told = unavailable(error)
            if told is None:
                raise
            self._forget(ledgered)
            self._withhold(Withheld(ledgered, told, error, len(self._given)))
            return
        if outcome in {"loaded", "rejected"} and version.size:
            self._given.append(ledgered)
        whole = outcome == "loaded" and not rows.rejected
        counts = ObjectCounts(ledgered.seq, version.uri, outcome, reason, rows, whole)
        self._read.append((ledgered, counts))

    def _withhold(self, one: Withheld) -> None:
        self._withheld.append(one)
        row = [other for other in self._withheld if other.given == one.given]
        if len(row) >= IN_A_ROW and any(other.told.kind != "permanent" for other in row):
            raise one.failure from one.error  # each takes the store's own attempts: it is away
        self._log.warning("object_withheld uri=%s %s", one.ledgered.version.uri, one.told)

    def _judge_withheld(self, probe: Callable[[ObjectVersion], Any]) -> None:
        """Reject what its store refuses for good; raise the refusal where it gives nothing else."""
        refused = [one for one in self._withheld if one.told.kind == "permanent"]
        since = max((one.given for one in self._withheld), default=0)
        if not self._withheld or len(self._given) > since:
            pass  # it gave something after the last refusal
        elif not self._given or not is_well([one.version for one in self._given], probe):
            raise self._withheld[0].failure from self._withheld[0].error
        for one in refused:
            ledgered, code = one.ledgered, UNREADABLE.code
            self.rejects.add_object(ledgered.version, code, one.told.detail, ("", False))
            reason = f"{code}: {one.told.detail}"
            uri = ledgered.version.uri
            counts = ObjectCounts(ledgered.seq, uri, "rejected", reason, RowCounts())
            self._read.append((ledgered, counts))

    def _forget(self, ledgered: LedgeredVersion) -> None:
        """Take out again what was taken of an object that cannot be read to its end."""
        if self._versions.pop(ledgered.seq, None) is None:
            return
        self._flush()
        self._stands_for.pop(ledgered.seq, None)
        self._forgotten.add(ledgered.seq)
        self.decision.forget(ledgered.seq)
        self.rejects.forget(ledgered.version)

    def _read_chunks(self, chunks: Iterator[Chunk], ledgered: LedgeredVersion) -> RowCounts:
        read = rejected = superseded = 0
        started = logged = time.monotonic()
        known = {
            "seq": pl.lit(ledgered.seq, pl.Int64),
            "source": pl.lit(ledgered.version.uri, pl.String),
            "ingested_at": pl.lit(ledgered.seen_at, pl.Datetime("us", "UTC")),
        }
        origin = {name: value for name, value in known.items() if name not in self._own}
        for chunk in chunks:
            self._versions[ledgered.seq] = ledgered
            accepted = chunk.accepted.with_columns(**origin).select(
                *self._columns, *self.decision.needs
            )
            self.rejects.add(ledgered.version, chunk.rejected)
            self._add(accepted)
            if chunk.notes:
                self.notes.setdefault(ledgered.version.uri, Counter()).update(chunk.notes)
            if chunk.stands_for > 1:
                self._stands_for[ledgered.seq] = chunk.stands_for
            rows = len(chunk.accepted) * chunk.stands_for + len(chunk.rejected) + chunk.superseded
            read += rows
            rejected += len(chunk.rejected)
            superseded += chunk.superseded
            self.rows_read += rows
            if (now := time.monotonic()) - logged > _LOG_EVERY:
                logged = now
                self._log.info(
                    "validating uri=%s rows=%d rejected=%d rows_per_second=%.0f",
                    ledgered.version.uri, read, rejected, read / (now - started),
                )  # fmt: skip
        return RowCounts(read=read, superseded=superseded, rejected=rejected)

    def _add(self, accepted: pl.DataFrame) -> None:
        if accepted.is_empty():
            return
        self._pending.append(accepted)
        self._pending_rows += len(accepted)
        self._pending_bytes += int(accepted.estimated_size())
        if self._pending_rows >= _GATHERED_ROWS or self._pending_bytes >= _GATHERED_BYTES:
            self._flush()

    def _flush(self) -> None:
        """Write what was gathered, and offer it to the decision."""
        if not self._pending:
            return
        rows = pl.concat(self._pending)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self.decision.takes_all and len(self._full) < MOST_FILES:
            self._first += rows.head(PREVIEW_ROWS - len(self._first)).to_dicts()
            self._full += self._files.add(rows)
        else:
            self._rest.add(rows)
        self.decision.offer(rows)

    def decide(self, mode: Mode) -> tuple[ObjectCounts, ...]:
        """Decide; counts per object, the reader's and the decided ones together, each balanced."""
        versions = [
            ReadVersion(ledgered.seq, ledgered.version.key, counts.whole)
            for ledgered, counts in self._read
            if counts.outcome == "loaded"
        ]
        decided = self.decision.decide(mode, versions)
        self.records_written = sum(rows.written for rows in decided.values())
        objects = []
        for ledgered, counts in self._read:
            rows = decided.pop(ledgered.seq, RowCounts())
            rows = rows.standing_for(self._stands_for.get(ledgered.seq, 1))
            merged = replace(
                rows,
                read=counts.rows.read,
                superseded=counts.rows.superseded + rows.superseded,
                rejected=counts.rows.rejected + rows.rejected,
            )
            merged.require_balance(counts.uri)
            objects.append(replace(counts, rows=merged))
        if decided:
            raise UnbalancedCounts(f"rows were decided of objects never read: {sorted(decided)}")
        return tuple(objects)

    def stage(self, writer: staging.StagingWriter) -> tuple[dict[str, Any], ...]:
        """Second pass: rows to ``writer``, duplicates to the rejects. Returns a preview.

        Files of nothing but rows that are staged become parts as they are.
        """
        preview: list[dict[str, Any]] = []
        files = [*self._full, *self._files.finish()]
        self._full = files
        if not self._forgotten:
            for file in self._full:
                writer.take(file)
            preview, files = list(self._first), []
        if self._rest.rows:
            files = [*files, self._rest]
        with self.decision.judge() as judge:
            for taken in (frame for file in files for frame in read_frames(file.finish())):
                verdict = judge(taken.filter(~pl.col("seq").is_in(list(self._forgotten))))
                staged = verdict.staged.select(self._columns)
                preview += staged.head(PREVIEW_ROWS - len(preview)).to_dicts()
                writer.add(staged)
                self._reject_duplicates(verdict.duplicates)
        return tuple(preview)

    def _reject_duplicates(self, rows: pl.DataFrame) -> None:
        for seq in rows.get_column("seq").unique(maintain_order=True):
            duplicates = rows.filter(pl.col("seq") == seq)
            rejects = cut_texts(duplicates).select(*REJECT_SCHEMA, "kept_line")
            self.rejects.add(self._versions[seq].version, rejects)
