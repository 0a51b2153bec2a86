"""Records that belong to the object that tells of them: an object holds all that it says.

Belongs here: which object a record's key belongs to, and what an object's newest version has taken
back. Does not: which rows win among those that are told (``winners.py``).

The keys of such records begin with their origin, which stands for the object's key, and a colon.
The newest version that was read whole, with no row rejected, is all that its object says: what
older versions said besides is withdrawn, and an older version that is decided later adds nothing.
A version with rejects takes nothing back, for what was rejected may be what it seems to leave out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from landing.batch.records import RecordTable, current_of, order_of

if TYPE_CHECKING:
    import polars as pl
    import psycopg

#: Hex digits of an origin: among ten million objects two alike are one chance in a million.
DIGITS = 16

_ORDER_OF_VERSION = "coalesce({0}.order_at, {0}.arrived), coalesce({0}.order_seq, {0}.seq), {0}.seq"
_NEWEST = f"""
CREATE TEMP TABLE newest_whole ON COMMIT DROP AS
SELECT DISTINCT ON (origin) origin, order_at, order_seq, said_seq, ours
FROM (
    SELECT origin, {_ORDER_OF_VERSION.format("v")}, true
    FROM pg_temp.read_version read_version JOIN landing.object_version v USING (seq)
    WHERE read_version.whole
    UNION ALL
    SELECT origin, {_ORDER_OF_VERSION.format("d")}, false
    FROM pg_temp.read_version read_version JOIN landing.object_version v USING (seq)
    JOIN landing.object_version d ON (d.store, d.bucket, d.key) = (v.store, v.bucket, v.key)
    WHERE d.whole
) AS stated (origin, order_at, order_seq, said_seq, ours)
ORDER BY origin, order_at DESC, order_seq DESC, said_seq DESC
"""


class ReadVersion(NamedTuple):
    """A version that was read to its end: sequence in the ledger, its object's key."""

    seq: int
    key: str
    #: Whether no row of it was rejected.
    whole: bool


def origin_of(key: str) -> str:
    """What stands for the object ``key`` in the keys of its records: DIGITS hex digits."""
    return hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def of_object(rows: pl.DataFrame, column: str, key: str) -> pl.DataFrame:
    """``rows`` with the record keys in ``column`` as those of the object ``key``."""
    import polars as pl

    prefix = f"{origin_of(key)}:"
    # No expression: for a file of one row it costs more than all the rest.
    keys = pl.Series(column, [prefix + name for name in rows[column]], dtype=pl.String)
    return rows.clone().replace_column(rows.get_column_index(column), keys)


def note_versions(conn: psycopg.Connection[Any], versions: Sequence[ReadVersion]) -> None:
    """Find the newest whole version of each object of which the batch has read a version.

    It is in the temporary table ``newest_whole`` of this transaction.
    """
    conn.execute(
        """
        CREATE TEMP TABLE read_version ON COMMIT DROP AS
        SELECT * FROM unnest(%s::bigint[], %s::text[], %s::boolean[]) AS t (seq, origin, whole)
        """,
        (
            [one.seq for one in versions],
            [origin_of(one.key) for one in versions],
            [one.whole for one in versions],
        ),
    )
    conn.execute("ANALYZE pg_temp.read_version")
    conn.execute(_NEWEST)
    conn.execute("ANALYZE pg_temp.newest_whole")


def joined(to: str) -> str:
    """A join of the newest whole version to the keys of ``to``, as ``whole``."""
    return f"LEFT JOIN pg_temp.newest_whole whole ON whole.origin = left({to}.key, {DIGITS})"


def overruled_by_whole(by: str) -> str:
    """Whether the newest whole version is newer than the order of ``by``."""
    return f"({order_of('whole')}) > ({order_of(by)})"


def withdraw(conn: psycopg.Connection[Any], table: RecordTable, batch_id: str) -> int:
    """Take the records back that the batch's versions no longer hold; their number."""
    conn.execute(
        f"""
        CREATE TEMP TABLE gone ON COMMIT DROP AS
        SELECT r.key FROM pg_temp.newest_whole whole
        JOIN {current_of(table)} r ON r.key >= whole.origin || ':' AND r.key < whole.origin || ';'
        WHERE whole.ours AND {overruled_by_whole("r")} AND NOT EXISTS (
            SELECT FROM pg_temp.candidate c WHERE c.key = r.key AND c.seq = whole.said_seq)
        """
    )
    conn.execute(f"DELETE FROM {table.record} r USING pg_temp.gone WHERE r.key = gone.key")
    count = conn.execute(
        f"INSERT INTO {table.withdrawn} (batch_id, key) SELECT %s, key FROM pg_temp.gone"
        " ON CONFLICT DO NOTHING",
        (batch_id,),
    ).rowcount
    if count:
        conn.execute(
            "UPDATE landing.batch SET records_withdrawn = %s WHERE batch_id = %s",
            (count, batch_id),
        )
    return count


def taken_back(conn: psycopg.Connection[Any], batch_id: str) -> int:
    """How many records the batch took back when it was decided, of a pipeline of any kind."""
    row = conn.execute(
        "SELECT records_withdrawn FROM landing.batch WHERE batch_id = %s", (batch_id,)
    ).fetchone()
    return int(row[0]) if row else 0


def withdrawn(conn: psycopg.Connection[Any], table: RecordTable, batch_id: str) -> list[str]:
    """Keys of records that the batch took back and no later one has brought again, in order."""
    rows = conn.execute(
        f"""
        SELECT w.key FROM {table.withdrawn} w
        WHERE w.batch_id = %s AND NOT EXISTS (
            SELECT FROM {table.record} r WHERE r.key = w.key)
        ORDER BY w.key
        """,
        (batch_id,),
    )
    return [key for (key,) in rows]
