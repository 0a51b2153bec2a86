"""Delivery: what a sink gets of a validated batch, and the ledger's note of how it went.

Belongs here: staged rows that are still current, marking a sink done or failed, closing a batch.
Does not: any sink.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from landing.batch import origins, staging
from landing.batch.failures import GoesOnLater, PermanentError, TransientError, classify
from landing.batch.holding import BatchHeldElsewhere, require_holder
from landing.batch.presence import note_success
from landing.batch.records import RecordTable, current_rows
from landing.batch.refused import Refusals, RefusedRow
from landing.batch.refused import save as save_refused
from landing.batch.staging import StagedPart, StagingLost
from landing.stores.base import ObjectStore

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from resources.postgres import PostgresResource

_ERROR_CHARACTERS = 2_000


@dataclass(slots=True)
class _Outcome:
    rows_written: int | None = None
    #: Whether the sink wrote the ledger's row itself, in a transaction of its own.
    noted: bool = False
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One batch on its way to one sink."""

    pipeline: str
    batch_id: str
    sink: str
    #: Staged rows: an upper bound of what :meth:`chunks` yields.
    row_count: int
    #: Whether the batch took records back; see :meth:`withdrawn`.
    takes_back: bool = field(default=False, kw_only=True)
    #: Which of the pipeline's records they tell of; see records.RecordTable.
    records: str = field(default="", kw_only=True)
    _parts: tuple[StagedPart, ...] = field(repr=False)
    _pg: PostgresResource = field(repr=False)
    _store: ObjectStore = field(repr=False)
    _run_id: str | None = field(default=None, repr=False)
    _started: float = field(default_factory=time.monotonic, repr=False)
    _outcome: _Outcome = field(default_factory=_Outcome, repr=False)

    def chunks(self, rows: int = staging.GROUP_ROWS) -> Iterator[pl.DataFrame]:
        """Staged rows that are still the current records, at most ``rows`` at a time, in order.

        May be iterated again. Raises landing.batch.staging.StagingLost when a part is not what was
        staged.
        """
        for frame in self.facts(rows):
            current = self._still_current(frame)
            if not current.is_empty():
                yield current

    @property
    def empty(self) -> bool:
        """Whether the sink has nothing to take."""
        return not self.row_count and not self.takes_back

    @property
    def refuse(self) -> Refusals:
        """To be called with the key of a record whose row the sink refuses, and its own words."""
        return self._outcome.refusals

    def taken(self, rows: int = staging.GROUP_ROWS) -> Iterator[pl.DataFrame]:
        """As :meth:`chunks`, without what the sink has refused."""
        refused = list(self.refuse.words)
        for frame in self.chunks(rows):
            key = frame.columns[0]
            left = frame.filter(~frame[key].is_in(refused)) if refused else frame
            if not left.is_empty():
                yield left

    def refused(self) -> list[RefusedRow]:
        """What the sink has refused, with object and line; reads the staged rows again."""
        words = self.refuse.words
        places = self.refuse.places
        found = {key: RefusedRow(key, said, *places.get(key, ())) for key, said in words.items()}
        sought = [key for key in words if key not in places]
        for frame in self.facts() if sought else ():
            rows = frame.filter(frame[frame.columns[0]].is_in(sought))
            for key, source, line in rows.select(frame.columns[0], "source", "line").iter_rows():
                found[key] = RefusedRow(key, words[key], source, line)
        return list(found.values())

    @property
    def parts(self) -> tuple[StagedPart, ...]:
        """What is staged, for systems that read the store themselves; nothing is verified here."""
        return self._parts

    def facts(
        self, rows: int = staging.GROUP_ROWS, columns: Sequence[str] | None = None
    ) -> Iterator[pl.DataFrame]:
        """All staged rows, as :meth:`chunks` gives them: of FactRules all are current."""
        return staging.read_parts(self._store, self._parts, rows=rows, columns=columns)

    def replaced(self) -> pl.DataFrame:
        """What this batch's winners replaced: key, event_time and the record's attributes."""
        import polars as pl

        with self._pg.connect() as conn:
            cursor = conn.execute(
                f"SELECT * FROM {self._table.replaced} WHERE batch_id = %s ORDER BY key",
                (self.batch_id,),
            )
            names = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall()
        schema = {name: pl.String() for name in names} | {"event_time": pl.Datetime("us", "UTC")}
        return pl.DataFrame(rows, schema=schema, orient="row").drop("batch_id")

    def withdrawn(self) -> list[str]:
        """Keys of records that the batch's objects no longer hold, and nothing has brought back."""
        if not self.takes_back:
            return []
        with self._pg.connect() as conn:
            return origins.withdrawn(conn, self._table, self.batch_id)

    def done(self, *, rows_written: int) -> None:
        """What the sink took; it becomes the ledger's when the ``with`` block ends well."""
        self._outcome.rows_written = rows_written

    def done_in(self, conn: psycopg.Connection[Any], *, rows_written: int) -> None:
        """Mark the sink done in ``conn``'s transaction, with which its rows are committed.

        For sinks in the ledger's own database: rows and mark are there together or not at all.
        Call it last: the batch's row is locked until the transaction ends. Raises ValueError for
        a delivery that no sink takes (:func:`read_staged`).
        """
        if self._run_id is None:
            raise ValueError(f"{self.sink} is no sink of the ledger")
        self.done(rows_written=rows_written)
        refused = self.refused()
        _mark_done(conn, self, self._run_id, time.monotonic() - self._started, refused)
        self._outcome.noted = True

    @property
    def _table(self) -> RecordTable:
        """Its names, refused unless they are plain identifiers."""
        return RecordTable(self.pipeline, (), self.records)

    def _still_current(self, frame: pl.DataFrame) -> pl.DataFrame:
        with self._pg.connect() as conn:
            if not _overtaken(conn, self.pipeline, self.batch_id):
                return frame
            return current_rows(conn, self._table, frame)


def read_staged(
    pg: PostgresResource,
    store: ObjectStore,
    *,
    pipeline: str,
    batch_id: str,
    reader: str,
    records: str = "",
) -> Delivery:
    """The batch for something derived from it, which the ledger does not wait for.

    ``reader`` says who reads. The rows are those that a sink would be given now. ``records`` are as
    for :func:`deliver`.
    """
    with pg.connect() as conn:
        parts = staging.load_parts(conn, batch_id)
        takes_back = bool(origins.taken_back(conn, batch_id))
    return Delivery(
        pipeline=pipeline,
        batch_id=batch_id,
        sink=reader,
        records=records,
        row_count=sum(part.rows for part in parts),
        takes_back=takes_back,
        _parts=parts,
        _pg=pg,
        _store=store,
    )


@contextmanager
def deliver(
    pg: PostgresResource,
    store: ObjectStore,
    *,
    pipeline: str,
    batch_id: str,
    sink: str,
    run_id: str,
    records: str = "",
) -> Iterator[Delivery]:
    """The batch for one sink: done in the ledger when the block ends well, failed if it raises.

    ``records`` is the kind of the pipeline's records that the batch tells of, if it has several.
    By GoesOnLater it is neither: the sink has to take the batch yet.
    A sink that used :meth:`Delivery.done_in` is done since its own transaction.
    The sink that is the last one to be done closes the batch in the same transaction. Raises
    BatchHeldElsewhere, with the sink's rows in the ledger's own database rolled back, when another
    run holds the batch by then, and PermanentError when the batch was never validated, has no such
    sink, or is to be given again to a sink that is done although its staging is lost: then the sink
    stays done.
    """
    with pg.connect() as conn:
        parts = staging.load_parts(conn, batch_id)
        takes_back = bool(origins.taken_back(conn, batch_id))
        taken = _require_ready(conn, pipeline, batch_id, sink, staged=bool(parts))
        _note_begun(conn, batch_id, sink, run_id)
    delivery = Delivery(
        pipeline=pipeline,
        batch_id=batch_id,
        sink=sink,
        records=records,
        row_count=sum(part.rows for part in parts),
        takes_back=takes_back,
        _parts=parts,
        _pg=pg,
        _store=store,
        _run_id=run_id,
    )
    started = delivery._started  # noqa: SLF001 - this module's own
    try:
        yield delivery
        noted = delivery._outcome.noted  # noqa: SLF001
        if noted:
            _require_committed(pg, delivery, run_id)
    except GoesOnLater:
        _note_pending(pg, delivery, run_id)
        raise
    except StagingLost as error:
        if taken:
            raise _taken_and_lost(batch_id, sink, str(error)) from error
        _note_failure(pg, delivery, run_id, time.monotonic() - started, error)
        raise
    except BaseException as error:
        _note_failure(pg, delivery, run_id, time.monotonic() - started, error)
        raise
    if not noted:
        refused = delivery.refused()
        with pg.connect() as conn:
            _mark_done(conn, delivery, run_id, time.monotonic() - started, refused)


def close_if_done(conn: psycopg.Connection[Any], batch_id: str) -> bool:
    """Set the batch loaded, or loaded_with_rejects, once every sink that the code knows is done.

    Returns whether it is. The batch's row must be locked by the caller's transaction.
    """
    cursor = conn.execute(
        """
        UPDATE landing.batch b SET
            state = CASE WHEN EXISTS (
                SELECT FROM landing.object_version v WHERE v.batch_id = b.batch_id
                    AND (v.outcome = 'rejected' OR v.rows_rejected > 0)
            ) OR EXISTS (
                SELECT FROM landing.batch_sink s WHERE s.batch_id = b.batch_id
                    AND s.rows_refused > 0
            ) THEN 'loaded_with_rejects' ELSE 'loaded' END,
            finished_at = clock_timestamp(), next_attempt_at = NULL, waiting_since = NULL,
            error_class = NULL, error = NULL, away = false
        WHERE b.batch_id = %s AND b.validated_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM landing.batch_sink s
            WHERE s.batch_id = b.batch_id AND s.state NOT IN ('done', 'retired'))
        """,
        (batch_id,),
    )
    return cursor.rowcount == 1


def _taken_and_lost(batch_id: str, sink: str, why: str) -> PermanentError:
    return PermanentError(
        f"the staging of {batch_id} was lost or removed after {sink} had taken it ({why}): "
        "to write it again, run the batch's validation too. Nothing was changed"
    )


def _require_ready(
    conn: psycopg.Connection[Any], pipeline: str, batch_id: str, sink: str, *, staged: bool
) -> bool:
    """Whether the sink has taken the batch before. Raises PermanentError when it can't take it."""
    row = conn.execute(
        """
        SELECT b.validated_at IS NOT NULL AND s.sink IS NOT NULL, s.state = 'done', s.rows_written
        FROM landing.batch b
        LEFT JOIN landing.batch_sink s ON s.batch_id = b.batch_id AND s.sink = %s
        WHERE b.batch_id = %s AND b.pipeline = %s
        """,
        (sink, batch_id, pipeline),
    ).fetchone()
    if row is None:
        raise PermanentError(f"batch {batch_id} of {pipeline} is not in the ledger")
    validated, taken, rows_written = row
    if not validated:
        raise PermanentError(
            f"batch {batch_id} is not validated for {sink}: run the pipeline's validation first"
        )
    # A sink that took rows once has none to take now only if maintenance removed them.
    if rows_written and not staged:
        raise _taken_and_lost(batch_id, sink, "none of its records is current")
    return bool(taken)


def _note_begun(conn: psycopg.Connection[Any], batch_id: str, sink: str, run_id: str) -> None:
    """Which run writes the sink: whoever looks after a dead one can say what it was writing."""
    require_holder(conn, batch_id, run_id)
    conn.execute(
        """
        UPDATE landing.batch_sink
        SET state = 'pending', run_id = %s, error_class = NULL, error = NULL
        WHERE batch_id = %s AND sink = %s AND state IN ('pending', 'failed')
        """,
        (run_id, batch_id, sink),
    )


def _overtaken(conn: psycopg.Connection[Any], pipeline: str, batch_id: str) -> bool:
    """Whether another batch of the pipeline was validated since this one was."""
    row = conn.execute(
        """
        SELECT EXISTS (
            SELECT FROM landing.batch o, landing.batch b
            WHERE b.batch_id = %s AND o.pipeline = %s AND o.batch_id <> b.batch_id
                AND o.validation_order > b.validation_order)
        """,
        (batch_id, pipeline),
    ).fetchone()
    return row is None or bool(row[0])


def _mark_done(
    conn: psycopg.Connection[Any],
    delivery: Delivery,
    run_id: str,
    seconds: float,
    refused: Sequence[RefusedRow],
) -> None:
    require_holder(conn, delivery.batch_id, run_id)
    conn.execute(
        """
        UPDATE landing.batch_sink SET state = 'done', rows_written = %s, rows_refused = %s,
            seconds = %s, run_id = %s, done_at = clock_timestamp(), error_class = NULL, error = NULL
        WHERE batch_id = %s AND sink = %s
        """,
        (
            delivery._outcome.rows_written,  # noqa: SLF001 - this module's own
            len(refused),
            seconds,
            run_id,
            delivery.batch_id,
            delivery.sink,
        ),
    )
    conn.execute(
        "UPDATE landing.batch SET deaths = 0 WHERE batch_id = %s AND deaths > 0",
        (delivery.batch_id,),
    )
    note_success(conn, delivery.batch_id, delivery.sink)
    save_refused(conn, delivery.batch_id, delivery.sink, refused)
    close_if_done(conn, delivery.batch_id)


def _require_committed(pg: PostgresResource, delivery: Delivery, run_id: str) -> None:
    with pg.connect() as conn:
        row = conn.execute(
            "SELECT state, run_id FROM landing.batch_sink WHERE batch_id = %s AND sink = %s",
            (delivery.batch_id, delivery.sink),
        ).fetchone()
    if row != ("done", run_id):
        raise TransientError(f"the transaction of {delivery.sink} was not committed")


def _note_pending(pg: PostgresResource, delivery: Delivery, run_id: str) -> None:
    """Also a sink that took the batch once: it is about to take another result."""
    with pg.connect() as conn:
        require_holder(conn, delivery.batch_id, run_id)
        conn.execute(
            """
            UPDATE landing.batch_sink SET state = 'pending', run_id = %s, error_class = NULL,
                error = NULL
            WHERE batch_id = %s AND sink = %s
            """,
            (run_id, delivery.batch_id, delivery.sink),
        )


def _note_failure(
    pg: PostgresResource, delivery: Delivery, run_id: str, seconds: float, error: BaseException
) -> None:
    """Mark the sink failed; the sink's own error stays the one that is raised."""
    import psycopg

    message = f"{type(error).__name__}: {error}"[:_ERROR_CHARACTERS].replace("\x00", "")
    values = {
        "seconds": seconds,
        "run": run_id,
        "class": classify(error),
        "error": message,
        "batch": delivery.batch_id,
        "sink": delivery.sink,
        "noted": delivery._outcome.noted,  # noqa: SLF001 - this module's own
    }
    try:
        with pg.connect() as conn:
            require_holder(conn, delivery.batch_id, run_id)
            # What was committed with the sink's own rows stays done.
            conn.execute(
                """
                UPDATE landing.batch_sink SET state = 'failed', seconds = %(seconds)s,
                    run_id = %(run)s, error_class = %(class)s, error = %(error)s
                WHERE batch_id = %(batch)s AND sink = %(sink)s
                    AND NOT (state = 'done' AND run_id = %(run)s AND %(noted)s)
                """,
                values,
            )
            if isinstance(error, StagingLost):
                conn.execute(
                    "UPDATE landing.batch SET restage = true WHERE batch_id = %s",
                    (delivery.batch_id,),
                )
    except (psycopg.Error, BatchHeldElsewhere) as ledger_error:
        error.add_note(f"the ledger was not told: {ledger_error}")
