"""Whether every message is accounted for: broker, Postgres and BigQuery side by side.

Belongs here: statements, comparisons. Does not: the checks that show them (``checks.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from assets.reading.fact_statements import days_parameters
from assets.reading.kinds import KINDS, Kind
from assets.reading.stream.progress import REPORT_COLUMNS, StreamReport
from assets.sinks.bigquery import within

if TYPE_CHECKING:
    import psycopg

    from assets.sinks.bigquery import Warehouse

    Connection = psycopg.Connection[Any]

#: Days that Pub/Sub keeps a message by default, and at most: how much older than its session a
#: message may be. https://cloud.google.com/pubsub/quotas
RETENTION_DAYS = (7, 31)

#: Distinct messages per session, in either raw table.
MESSAGES_OF_SESSIONS = {
    kind: f"""
SELECT session_id, COUNT(DISTINCT message_id) AS messages
FROM `{{{kind.raw.name}}}`
WHERE publish_time >= @since AND session_id IN UNNEST(@session_ids)
GROUP BY session_id
"""
    for kind in KINDS
}

#: Distinct messages at all. It reads the ids of the whole table: for servers that tell counts of
#: all time, which are local ones.
MESSAGES = {
    kind: f"""
SELECT COUNT(DISTINCT message_id) AS messages
FROM `{{{kind.raw.name}}}`
WHERE publish_time >= TIMESTAMP '1970-01-01 00:00:00+00'
"""
    for kind in KINDS
}

#: How often each fact is there.
COPIES = {
    kind: f"""
SELECT COUNT(*) AS distinct_rows, COALESCE(SUM(copies), 0) AS all_rows
FROM (
    SELECT COUNT(*) AS copies FROM `{{{kind.table.name}}}`
    WHERE {within(kind.table)}
    GROUP BY {", ".join(kind.names)}
)
"""
    for kind in KINDS
}


@dataclass(frozen=True, slots=True)
class SessionStream:
    """One session's part in one subscription. ``state`` is the session's."""

    session_id: str
    state: str
    started_at: datetime
    counts: StreamReport


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows of a table, or of some of its days, and how many of them are distinct."""

    distinct: int
    rows: int

    @property
    def surplus(self) -> int:
        """Rows that are there once too often."""
        return self.rows - self.distinct


@dataclass(frozen=True, slots=True)
class Flow:
    """The messages of one topic, counted while they go on coming.

    ``published``: before and after the others were counted; ``unacknowledged``: before them.
    ``kept`` are distinct messages in the raw table, ``rejected`` those set aside.
    """

    published: tuple[int, int]
    unacknowledged: int
    kept: int
    rejected: int

    @property
    def lost(self) -> int:
        """Messages that were acknowledged and are nowhere; 0 when none is."""
        return max(self.published[0] - self.unacknowledged - self.kept - self.rejected, 0)

    @property
    def invented(self) -> int:
        """Messages that are somewhere and were never published; 0 when none is."""
        return max(self.kept + self.rejected - self.published[1], 0)


def session_streams(conn: Connection, since: datetime) -> list[SessionStream]:
    """Every part of the sessions that were heard of since then, oldest session first."""
    rows = conn.execute(
        f"""
        SELECT session_id, state, started_at, {REPORT_COLUMNS}
        FROM reading.session JOIN reading.session_stream USING (session_id)
        WHERE updated_at >= %s ORDER BY started_at, subscription
        """,
        (since,),
    ).fetchall()
    return [
        SessionStream(session_id, state, started_at, StreamReport(*counts))
        for session_id, state, started_at, *counts in rows
    ]


def unbalanced(streams: Iterable[SessionStream]) -> list[SessionStream]:
    """Those whose counts do not add up: of sessions that ended by their own account.

    The counts of one that was killed are a second old, those of one that serves are moving.
    """
    return [one for one in streams if one.state == "ended" and one.counts.pending]


def raw_messages(
    warehouse: Warehouse, kind: Kind, streams: Sequence[SessionStream]
) -> dict[str, int]:
    """Distinct messages in the raw table by session; counted further back if any seem to miss.

    A message is as old as the subscription's retention at most, but partitions are of its date.
    """
    from google.cloud.bigquery import ArrayQueryParameter, ScalarQueryParameter

    found: dict[str, int] = {}
    if not streams:
        return found
    first = min(one.started_at for one in streams)
    session_ids = sorted({one.session_id for one in streams})
    for days in RETENTION_DAYS:
        rows = warehouse.run(
            MESSAGES_OF_SESSIONS[kind],
            [
                ScalarQueryParameter("since", "TIMESTAMP", first - timedelta(days=days)),
                ArrayQueryParameter("session_ids", "STRING", session_ids),
            ],
        )
        found = {row["session_id"]: row["messages"] for row in rows}
        if not missing(streams, found):
            break
    return found


def missing(streams: Iterable[SessionStream], raw: Mapping[str, int]) -> list[SessionStream]:
    """Sessions with fewer messages in the raw table than they accepted."""
    return [one for one in streams if raw.get(one.session_id, 0) < one.counts.accepted]


def unexplained(streams: Iterable[SessionStream], raw: Mapping[str, int]) -> list[SessionStream]:
    """Ended sessions with more messages in the raw table than they accepted or let go of.

    What was appended and could not be merged before the end is released: the next session has it.
    """
    return [
        one
        for one in streams
        if one.state == "ended"
        and raw.get(one.session_id, 0) > one.counts.accepted + one.counts.released
    ]


def all_raw_messages(warehouse: Warehouse, kind: Kind) -> int:
    """Distinct messages in the raw table, whichever session brought them."""
    (row,) = warehouse.run(MESSAGES[kind])
    return int(row.messages)


def copies(warehouse: Warehouse, kind: Kind, days: Collection[date] = ()) -> Copies:
    """Facts of a kind: events of these days, categories of all contents."""
    found = Copies(0, 0)
    for bound in days_parameters(kind, days):
        (row,) = warehouse.run(COPIES[kind], bound)
        found = Copies(found.distinct + row.distinct_rows, found.rows + row.all_rows)
    return found


def rejected(conn: Connection, subscription: str) -> int:
    """Messages of ``subscription`` that were set aside, ever."""
    row = conn.execute(
        "SELECT count(*) FROM reading.rejected_message WHERE subscription = %s", (subscription,)
    ).fetchone()
    return row[0] if row else 0


def rejected_by_reason(conn: Connection, since: datetime) -> dict[str, int]:
    """Messages set aside since then, by reason, the most frequent first."""
    return dict(
        conn.execute(
            """
            SELECT reason, count(*) FROM reading.rejected_message WHERE rejected_at >= %s
            GROUP BY reason ORDER BY count(*) DESC, reason
            """,
            (since,),
        ).fetchall()
    )


def not_dead_lettered(conn: Connection, before: datetime) -> list[tuple[str, str]]:
    """Subscription and id of messages set aside before then and not on the dead-letter topic."""
    return conn.execute(
        """
        SELECT subscription, message_id FROM reading.rejected_message
        WHERE dead_letter_id IS NULL AND rejected_at < %s ORDER BY rejected_at, message_id
        """,
        (before,),
    ).fetchall()
