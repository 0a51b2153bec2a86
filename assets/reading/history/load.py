"""History in BigQuery: staged rows are loaded as they lie, then merged, each event and pair once.

Belongs here: the order of jobs, what is verified. Does not: which rows there are
(``validation.py``), what BigQuery is sent (``statements.py``), MERGEs one at a time
(``merges.py``), who learns what changed (``changes.py``).

A load job replaces the staging table by the batch in one step; the executor lets one batch of
history write at a time. A kill before the MERGE changes nothing that is read, and one behind it
leaves rows that the next attempt finds and counts as its own, for they name their object version.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from assets.reading.content_days import months_read, note_content_months
from assets.reading.fact_statements import days_parameters, span_parameters
from assets.reading.fencing import fencing_token
from assets.reading.history.statements import CHECK, GAINED, MERGE, MERGE_SPAN, MISSING
from assets.reading.history.validation import tally
from assets.reading.kinds import CATEGORIES, EVENTS, Kind
from assets.reading.merges import location_of, run_merge, settle
from assets.sinks.bigquery import load_apart, load_config, refusal, stage
from assets.sinks.result import SinkResult, Verification
from landing.batch.failures import TransientError
from resources.bigquery import JOB_TIMEOUT, REQUEST_TIMEOUT

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from assets.frame.tables import Table
    from assets.sinks.bigquery import Warehouse
    from landing.batch.delivery import Delivery
    from landing.batch.staging import StagedPart
    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]

#: Rows at a time where they are loaded by us, and looked for one that is refused.
APART_ROWS = 100_000
#: Of their columns that tell what was read when, about a million rows.
_FRAMES_AT_ONCE = 16


def write_events(
    warehouse: Warehouse, pg: PostgresResource, bucket: str, delivery: Delivery
) -> tuple[SinkResult, Verification]:
    """Load the staged parts from the bucket, merge their events, verify, note changed days.

    Meanwhile their contents' days are noted, on a connection of its own: they must be there when
    the days are, and a pair whose event does not come after all costs a count.

    When BigQuery refuses the load for its rows, they are loaded anew, in as many jobs as it takes,
    and the delivery is told which it refuses.

    ``rows_written`` are the events that the batch brought,
    ``unchanged`` its other rows: there already, or repeated. ``details``: rows, days, changed (the
    days that gained events), merged_seconds. Raises what merges.run_merge does, TransientError
    when BigQuery has other rows than were staged.
    """
    started = time.monotonic()
    own = _days(_tallied(delivery))
    if not own:
        return _nothing(started)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="content-days") as beside,
        pg.connect(autocommit=True) as conn,
    ):
        noted = beside.submit(_note_content_days, pg, delivery)
        warehouse.ensure()
        own -= _days(_load(warehouse, conn, bucket, delivery))
        return _write(EVENTS, warehouse, conn, own, started=started, before_noting=noted.result)


def write_categories(
    warehouse: Warehouse, pg: PostgresResource, delivery: Delivery
) -> tuple[SinkResult, Verification]:
    """Load the categories among the staged rows, merge them, verify, note changed contents.

    As :func:`write_events`: most batches of events have none, so that the others are left out.
    """
    started = time.monotonic()
    expected = _tallied(delivery)[CATEGORIES.name]
    if not expected:
        return _nothing(started)
    with pg.connect(autocommit=True) as conn:
        warehouse.ensure()
        refuse, refused = _refusing(delivery)
        stage(
            warehouse,
            CATEGORIES.history,
            _named(delivery.facts(rows=APART_ROWS)),
            batch_id=delivery.batch_id,
            refused=refuse,
            fence=partial(_fence, warehouse, conn, CATEGORIES.history),
        )
        rows = expected - refused[CATEGORIES.name]
        _require_loaded(warehouse, CATEGORIES, rows)
        own = Counter[date | None]({None: rows} if rows else {})
        return _write(CATEGORIES, warehouse, conn, own, started=started)


def _nothing(started: float) -> tuple[SinkResult, Verification]:
    return SinkResult(0, 0, 0, time.monotonic() - started), Verification()


def _tallied(delivery: Delivery) -> Counter[str]:
    """The staged rows by what they change, as validation counted them."""
    counted: Counter[str] = Counter()
    for part in delivery.parts:
        if part.tally is None:  # of before parts said so
            return sum((tally(frame) for frame in delivery.facts()), Counter())
        counted.update(part.tally)
    return counted


def _days(tallied: Mapping[str, int]) -> Counter[date | None]:
    """The events among them by their day."""
    return Counter(
        {
            date.fromisoformat(what): count
            for what, count in tallied.items()
            if what != CATEGORIES.name
        }
    )


def _note_content_days(pg: PostgresResource, delivery: Delivery) -> None:
    """Note on which days the contents of the staged events were read."""
    import polars as pl

    frames = delivery.facts(APART_ROWS, ("content_id", "read_percent", "updated_at"))
    pieces = iter(lambda: list(islice(frames, _FRAMES_AT_ONCE)), [])
    with pg.connect(autocommit=True) as conn:
        note_content_months(conn, (months_read(pl.concat(piece)) for piece in pieces))


def _load(warehouse: Warehouse, conn: Connection, bucket: str, delivery: Delivery) -> Counter[str]:
    """Make the staging table hold the delivery and nothing else; the rows that are refused."""
    rows, refused = sum(part.rows for part in delivery.parts), Counter[str]()
    try:
        _load_parts(warehouse, conn, bucket, delivery.parts)
    except Exception as error:
        if refusal(error) is None:
            raise
        refuse, refused = _refusing(delivery)
        load_apart(
            warehouse,
            EVENTS.history,
            delivery.facts(rows=APART_ROWS),
            refuse,
            fence=partial(_fence, warehouse, conn, EVENTS.history),
        )
    _require_loaded(warehouse, EVENTS, rows - refused.total())
    return refused


def _require_loaded(warehouse: Warehouse, kind: Kind, rows: int) -> None:
    """Raises TransientError when the staging table has another number of rows."""
    table = warehouse.client.get_table(warehouse.table(kind.history.name), timeout=REQUEST_TIMEOUT)
    if table.num_rows != rows:
        raise TransientError(f"{table.num_rows} rows were loaded of {rows} {kind.name} staged")


def _write(
    kind: Kind,
    warehouse: Warehouse,
    conn: Connection,
    own: Counter[date | None],
    *,
    started: float,
    before_noting: Callable[[], object] = bool,
) -> tuple[SinkResult, Verification]:
    """Merge what is loaded, ``own`` rows by day (None for categories), and verify it.

    The staging table holds what was loaded and nothing else: a job of an earlier sender, which
    could still replace it, has been waited for. So where BigQuery says that it has inserted as many
    rows as were loaded, each is there, and once: none was before, and no two say the same.
    """
    rows = own.total()
    if not rows:
        return _nothing(started)
    bounds = list(days_parameters(kind, filter(None, own)))
    inserted = sum(_inserted(kind, warehouse, conn, days) for days in bounds)
    merged = time.monotonic() - started
    found, new = Verification(expected=rows), Counter[Any]()
    if inserted != rows:  # some were there before, or this is another attempt
        for days in bounds:
            found = found.plus(_checked(kind, warehouse, own, days))
    if kind is EVENTS and inserted == rows:
        new.update(own)
    else:
        for days in bounds:
            new.update({row.gained: row.events for row in warehouse.run(GAINED[kind], days)})
    before_noting()
    with conn.transaction():
        kind.note(conn, new)
    details = {
        "rows": rows,
        "days": sum(day is not None for day in own),
        "changed": len(new),
        "merged_seconds": round(merged, 3),
    }
    written = new.total()
    return SinkResult(written, rows - written, 0, time.monotonic() - started, details), found


def _inserted(kind: Kind, warehouse: Warehouse, conn: Connection, days: Sequence[Any]) -> int:
    """How many of the rows that were staged for some days were not there."""
    span = span_parameters(days)
    statement, bound = (MERGE[kind], days) if span is None else (MERGE_SPAN, span)
    return run_merge(warehouse, conn, kind.table, statement, bound)


def _checked(
    kind: Kind, warehouse: Warehouse, own: Counter[date | None], days: Sequence[Any]
) -> Verification:
    """Of the rows that were staged for some days, how many are not there, or there twice."""
    rows = list(warehouse.run(CHECK[kind], days))
    missing = sum(row.missing for row in rows)
    sample = warehouse.run(MISSING[kind], days) if missing else ()
    found = {row.day: row.found for row in rows}
    (bound,) = days or (None,)
    asked = [day.date() for day in bound.values] if bound else [None]
    # A day of which the staging table has nothing any more has no row in the answer.
    return Verification(
        missing=missing + sum(max(own[day] - found.get(day, 0), 0) for day in asked),
        unexpected=sum(max(found.get(day, 0) - own[day], 0) for day in asked),
        sample=tuple(str(row.values()) for row in sample),
    )


@contextmanager
def _fence(warehouse: Warehouse, conn: Connection, staging: Table) -> Iterator[str]:
    """The id of a load job into the staging table, once all jobs sent before have ended."""
    client, table = warehouse.client, warehouse.table(staging.name)
    location = location_of(client, table)
    with fencing_token(conn, table, partial(settle, client, location=location)) as job_id:
        yield job_id


def _load_parts(
    warehouse: Warehouse, conn: Connection, bucket: str, parts: Sequence[StagedPart]
) -> None:
    """Have the parts fetched by BigQuery itself."""
    client, table = warehouse.client, warehouse.table(EVENTS.history.name)
    with _fence(warehouse, conn, EVENTS.history) as job_id:
        job = client.load_table_from_uri(
            [f"gs://{bucket}/{part.key}" for part in parts],
            table,
            job_id=job_id,
            job_config=load_config(EVENTS.history),
            location=location_of(client, table),
            timeout=REQUEST_TIMEOUT,
        )
        job.result(timeout=JOB_TIMEOUT)


def _refusing(
    delivery: Delivery,
) -> tuple[Callable[[pl.DataFrame, str], None], Counter[str]]:
    """Tells the delivery of one of its rows, and tallies them: facts have no key but their place.

    One that does not know its line is the first of those that say the same in its object.
    """
    refused = Counter[str]()

    def refuse(row: pl.DataFrame, detail: str) -> None:
        if "line" in row.columns:
            refused.update(tally(row))
        else:
            refused[CATEGORIES.name] += 1
        source = row.item(0, "source")
        if "line" in row.columns:
            line = row.item(0, "line")
        else:
            same = row.select("source", *CATEGORIES.names)
            found = (frame.join(same, on=same.columns) for frame in delivery.facts())
            line = next(frame.item(0, "line") for frame in found if not frame.is_empty())
        delivery.refuse(f"{source} line {line}", detail, (source, line))

    return refuse, refused


def _named(chunks: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    import polars as pl

    for chunk in chunks:
        yield chunk.filter(pl.col("category_name").is_not_null())
