"""Which days of reading have changed, and reporting them to Dagster.

Belongs here: noting days and contents in Postgres, contents to days, days to materializations of
``user_interaction``. Does not: which days those are (``content_days.py``), what is recomputed for
them (automation conditions of the counts).

A day is noted in the transaction that makes its events final, and let go only after Dagster has it:
a crash in between reports a day twice, never not at all.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.reading import content_days
from assets.reading.pacing import category_seconds
from assets.reading.pipeline import DAYS, USER_INTERACTION_KEY
from assets.reading.rules import FIRST_DAY
from resources.advisory_locks import Lock, held

if TYPE_CHECKING:
    import psycopg

    from assets.sinks.bigquery import Warehouse

    Connection = psycopg.Connection[Any]

log = logging.getLogger(__name__)

#: Contents and days of one round.
CONTENTS_AT_ONCE = 50_000
DAYS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A day, how many events it gained since it was last reported, and when the last of them came.

    ``events`` is 0 when only categories of its contents did.
    """

    day: date
    events: int
    changed_at: datetime


def note_changed_days(conn: Connection, days: Mapping[date, int]) -> None:
    """Note that these days gained so many events, in the caller's transaction.

    The rows are taken in the days' order, so that two writers never wait for each other. Raises
    psycopg.Error.
    """
    if not days:
        return
    ordered = sorted(days)
    conn.execute(
        """
        INSERT INTO reading.changed_day AS d (day, events)
        SELECT day, events FROM unnest(%s::date[], %s::bigint[]) AS gained (day, events)
        ORDER BY day
        ON CONFLICT (day) DO UPDATE
        SET events = d.events + excluded.events, changed_at = clock_timestamp()
        """,
        (ordered, [days[day] for day in ordered]),
    )


def note_changed_contents(conn: Connection, content_ids: Collection[int]) -> None:
    """Note that these contents gained a category, in the caller's transaction.

    Raises psycopg.Error.
    """
    if not content_ids:
        return
    conn.execute(
        """
        INSERT INTO reading.changed_content (content_id)
        SELECT content_id FROM unnest(%s::bigint[]) AS gained (content_id)
        ORDER BY content_id
        ON CONFLICT (content_id) DO UPDATE SET changed_at = clock_timestamp()
        """,
        (sorted(set(content_ids)),),
    )


def quiet_seconds(conn: Connection) -> float | None:
    """Seconds since the last change that was noted and not reported; None when there is none."""
    row = conn.execute(
        """
        SELECT extract(epoch FROM clock_timestamp() - max(changed_at))::double precision
        FROM (
            SELECT max(changed_at) AS changed_at FROM reading.changed_day
            WHERE day BETWEEN %s AND %s
            UNION ALL
            SELECT max(changed_at) FROM reading.changed_content
        ) AS noted
        """,
        _reportable(),
    ).fetchone()
    return row[0] if row else None


@dataclass(frozen=True, slots=True)
class Reported:
    """What one call reported: days, the events that they gained, contents resolved to days."""

    days: int = 0
    events: int = 0
    contents: int = 0


def report_changes(
    where: dg.DagsterInstance | dg.OpExecutionContext | dg.AssetExecutionContext,
    conn: Connection,
    warehouse: Warehouse,
    *,
    seconds: float = math.inf,
) -> Reported:
    """Turn what was noted into materializations of ``user_interaction``, one per changed day.

    They go to the run of a context, or to the instance without a run. ``conn`` must be in
    autocommit mode: rows go round by round, and what is left after ``seconds`` waits for the next
    call. A day that is no partition yet, since its date has not begun, waits too. Raises
    psycopg.Error and google.api_core.exceptions errors; nothing noted is lost by them.
    """
    until = time.monotonic() + seconds
    due = _contents_are_due(conn)
    contents = days = events = 0
    try:
        while due and (resolved := _resolve_contents(conn, warehouse)):
            contents += resolved
            if time.monotonic() >= until:
                break
        _contents_looked_up(conn)
    finally:
        # Days need no BigQuery: they are reported whatever is the matter with it.
        while reported := _report_days(_reporter(where), conn):
            days += len(reported)
            events += sum(change.events for change in reported)
            log.info(
                "changed_days_reported days=%d events=%d last=%s", days, events, reported[-1].day
            )
            if time.monotonic() >= until:
                break
    conn.execute("UPDATE reading.change_state SET reported_at = clock_timestamp()")
    return Reported(days, events, contents)


def materialization(change: ChangedDay) -> dg.AssetMaterialization:
    """What is reported of a changed day."""
    return dg.AssetMaterialization(
        USER_INTERACTION_KEY,
        partition=change.day.isoformat(),
        description=None if change.events else "Its contents gained categories.",
        metadata={
            "new_events": change.events,
            "changed_at": dg.MetadataValue.timestamp(change.changed_at),
        },
    )


def _reporter(
    where: dg.DagsterInstance | dg.OpExecutionContext | dg.AssetExecutionContext,
) -> Callable[[dg.AssetMaterialization], None]:
    if isinstance(where, dg.DagsterInstance):
        return where.report_runless_asset_event
    return where.log_event


def events_per_second(conn: Connection) -> float:
    """What the sessions of the last 24 hours took up, on average. Raises psycopg.Error."""
    row = conn.execute(
        """
        SELECT coalesce(sum(accepted), 0) / 86400.0
        FROM reading.session JOIN reading.session_stream USING (session_id)
        WHERE updated_at >= clock_timestamp() - interval '24 hours'
        """
    ).fetchone()
    return float(row[0]) if row else 0.0


def seconds_since_report(conn: Connection) -> float:
    """Since changes were last reported, whoever did; infinity when nobody did."""
    row = conn.execute(
        """
        SELECT extract(epoch FROM clock_timestamp() - reported_at)::double precision
        FROM reading.change_state
        """
    ).fetchone()
    return row[0] if row and row[0] is not None else math.inf


def _contents_are_due(conn: Connection) -> bool:
    """Whether days are to be looked up, which then are due themselves, of any age."""
    row = conn.execute(
        """
        SELECT FROM reading.change_state
        WHERE resolved_at IS NULL OR resolved_at <= clock_timestamp() - make_interval(secs => %s)
        """,
        (category_seconds(events_per_second(conn)),),
    ).fetchone()
    return row is not None


def _contents_looked_up(conn: Connection) -> None:
    """The next look is in its time, unless some are left."""
    conn.execute(
        """
        UPDATE reading.change_state SET resolved_at = clock_timestamp()
        WHERE NOT EXISTS (SELECT FROM reading.changed_content)
        """
    )


def _resolve_contents(conn: Connection, warehouse: Warehouse) -> int:
    """Note the days of some changed contents, and let those contents go; how many there were.

    They wait while the index has not all days. It has those of every event that was noted before;
    a later one notes its day itself.
    """
    rows = conn.execute(
        """
        SELECT content_id, changed_at FROM reading.changed_content
        ORDER BY changed_at, content_id LIMIT %s
        """,
        (CONTENTS_AT_ONCE,),
    ).fetchall()
    if not rows or not content_days.fill(conn, warehouse):
        return 0
    with conn.transaction():
        days = content_days.days_of_contents(conn, [content_id for content_id, _ in rows])
        note_changed_days(conn, dict.fromkeys(days, 0))
        conn.execute(
            """
            DELETE FROM reading.changed_content AS c
            USING unnest(%s::bigint[], %s::timestamptz[]) AS seen (content_id, changed_at)
            WHERE c.content_id = seen.content_id AND c.changed_at = seen.changed_at
            """,
            ([content_id for content_id, _ in rows], [changed_at for _, changed_at in rows]),
        )
    return len(rows)


def _report_days(
    report: Callable[[dg.AssetMaterialization], None], conn: Connection
) -> list[ChangedDay]:
    """Report some changed days, oldest day first, and let them go; the days."""
    with held(conn, Lock.CHANGE_REPORT):
        rows = conn.execute(
            """
            SELECT day, events, changed_at FROM reading.changed_day
            WHERE day BETWEEN %s AND %s ORDER BY day LIMIT %s
            """,
            (*_reportable(), DAYS_AT_ONCE),
        ).fetchall()
        changes = [ChangedDay(*row) for row in rows]
        for change in changes:
            report(materialization(change))
        if changes:
            _let_go(conn, changes)
    return changes


def _reportable() -> tuple[str, str]:
    """The first and the last day that is a partition now."""
    return FIRST_DAY, DAYS.get_last_partition_key() or FIRST_DAY


def _let_go(conn: Connection, changes: Sequence[ChangedDay]) -> None:
    """Forget days as they were reported; of one that gained more meanwhile, only what was."""
    with conn.transaction():
        # A writer between the statement's snapshot and its lock would escape both of its halves.
        conn.execute(
            "SELECT FROM reading.changed_day WHERE day = ANY(%s) ORDER BY day FOR UPDATE",
            ([change.day for change in changes],),
        )
        conn.execute(
            """
            WITH seen (day, events, changed_at) AS (
                SELECT * FROM unnest(%s::date[], %s::bigint[], %s::timestamptz[])
            ), same AS (
                DELETE FROM reading.changed_day AS d USING seen
                WHERE d.day = seen.day AND d.changed_at = seen.changed_at
            )
            UPDATE reading.changed_day AS d SET events = greatest(d.events - seen.events, 0)
            FROM seen WHERE d.day = seen.day AND d.changed_at <> seen.changed_at
            """,
            (
                [change.day for change in changes],
                [change.events for change in changes],
                [change.changed_at for change in changes],
            ),
        )
