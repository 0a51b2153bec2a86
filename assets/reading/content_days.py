"""On which days a content was read: an index in Postgres of the table of events.

Belongs here: adding to it, asking it, filling it once from the table. Does not: what is done with
the days (``changes.py``).

A new category makes a content's older events count, which may be of any day. The table of events
has days and users for an order, so that asking it for a content reads all of it, each time more.
Here a content has a row per month with a bit per day (docs/adr/0014). A pair is added before the
event's day is noted as changed, or with it; one too many costs a count, never an answer.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from itertools import islice
from typing import TYPE_CHECKING, Any

from assets.reading.merges import ask
from assets.reading.rules import FIRST_DAY, READ_BEYOND

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from assets.sinks.bigquery import Warehouse

    Connection = psycopg.Connection[Any]

log = logging.getLogger(__name__)

#: Rows of one statement.
_AT_ONCE = 50_000

#: Every pair, from the table itself. It reads three columns of all days.
ALL_PAIRS = f"""
SELECT DISTINCT content_id, DATE(updated_at) AS day
FROM `{{user_interaction}}`
WHERE read_percent > {READ_BEYOND} AND updated_at >= TIMESTAMP '{FIRST_DAY} 00:00:00+00'
"""

# What is there already is passed by first: a conflict writes to its row, even if for nothing.
_ADD = """
INSERT INTO reading.content_month AS m (content_id, month, days)
SELECT content_id, month, days
FROM unnest(%s::bigint[], %s::date[], %s::integer[]) AS given (content_id, month, days)
WHERE NOT EXISTS (
    SELECT FROM reading.content_month AS known
    WHERE known.content_id = given.content_id AND known.month = given.month
        AND known.days & given.days = given.days
)
ORDER BY content_id, month
ON CONFLICT (content_id, month) DO UPDATE SET days = m.days | excluded.days
"""

_OLDER_SESSION = """
SELECT EXISTS (
    SELECT FROM reading.session, reading.change_state
    WHERE state IN ('serving', 'draining') AND started_at < noted_since
        AND updated_at > clock_timestamp() - interval '10 minutes'
)
"""


def note_content_days(conn: Connection, pairs: Iterable[tuple[int, date]]) -> None:
    """Add contents' days, in the caller's transaction. Raises psycopg.Error.

    Rows are taken in one order, so that two writers never wait for each other.
    """
    months: defaultdict[tuple[int, date], int] = defaultdict(int)
    for content_id, day in pairs:
        months[content_id, day.replace(day=1)] |= 1 << day.day - 1
    ordered = sorted(months)
    for start in range(0, len(ordered), _AT_ONCE):
        part = ordered[start : start + _AT_ONCE]
        conn.execute(
            _ADD,
            (
                [content_id for content_id, _ in part],
                [month for _, month in part],
                [months[one] for one in part],
            ),
        )


def months_read(events: pl.DataFrame) -> pl.DataFrame:
    """The rows of the index for valid events: ``content_id``, ``month``, ``days``."""
    import polars as pl

    day = pl.col("updated_at").dt.date()
    bit = pl.lit(2, pl.Int64).pow(day.dt.day() - 1).cast(pl.Int32)
    counting = events.lazy().filter(pl.col("read_percent") > READ_BEYOND)
    return (
        counting.group_by("content_id", day.dt.truncate("1mo").alias("month"))
        .agg(bit.bitwise_or().alias("days"))
        .collect()
    )


def note_content_months(conn: Connection, months: Iterable[pl.DataFrame]) -> None:
    """As :func:`note_content_days`, of what :func:`months_read` gave: for rows by the million."""
    import polars as pl

    frames = list(months)
    if not frames:
        return
    days = pl.col("days").bitwise_or()
    rows = pl.concat(frames).group_by("content_id", "month").agg(days).sort("content_id", "month")
    for part in rows.iter_slices(_AT_ONCE):
        conn.execute(_ADD, [_array(part[name]) for name in ("content_id", "month", "days")])


def _array(values: pl.Series) -> str:
    """An array as Postgres spells it: adapting values one by one takes longer than adding them."""
    import polars as pl

    return f"{{{values.cast(pl.String).str.join(',').item()}}}"


def days_of_contents(conn: Connection, content_ids: Sequence[int]) -> list[date]:
    """The days with an event of these contents that counts. Raises psycopg.Error."""
    rows = conn.execute(
        """
        SELECT month, bit_or(days) FROM reading.content_month WHERE content_id = ANY(%s)
        GROUP BY month ORDER BY month
        """,
        (list(content_ids),),
    ).fetchall()
    return [
        month.replace(day=bit + 1) for month, days in rows for bit in range(31) if days >> bit & 1
    ]


def fill(conn: Connection, warehouse: Warehouse) -> bool:
    """Add, once, the pairs of events that are older than the index; whether it has them all.

    It has not while a session of an older version still writes events without noting their
    contents: then nothing is added yet. Raises psycopg.Error and google.api_core.exceptions errors.
    """
    row = conn.execute("SELECT filled_at IS NOT NULL FROM reading.change_state").fetchone()
    if row and row[0]:
        return True
    older = conn.execute(_OLDER_SESSION).fetchone()
    if older and older[0]:
        log.warning("content_days_wait for a session that began before the migration")
        return False
    found = iter(ask(warehouse, ALL_PAIRS))
    while pairs := [(row["content_id"], row["day"]) for row in islice(found, _AT_ONCE)]:
        note_content_days(conn, pairs)
    conn.execute("UPDATE reading.change_state SET filled_at = clock_timestamp()")
    log.info("content_days_filled")
    return True
