"""Which rows of a batch win: decided once, in Postgres, against the pipeline's current records.

Belongs here: candidates, the decision, and making it the current records. Does not: the tables of
those (``records.py``), reading what was decided (``statuses.py``), where winners are written
(``staging.py``).

Order of a record = that of its object version: (when it arrived by the store's own clock, sequence
in the ledger), or what the version is ordered by instead (landing.object_version.order_at). In one
object the row with the latest (event time, line) is kept. A row with the content of the winner is
written once and otherwise unchanged, and the record is from then on as new as the newest version
that says the same: an older one that is decided later does not undo it. A row with other content is
superseded. A record whose owning batch is not loaded yet, or can't be written again, is written by
an equal row and changes owner, with what it replaced: a batch that never gets through holds nobody
up, and what was lost comes back with a file that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from landing.batch import origins
from landing.batch.records import ORDER, RecordTable, current_of, newest_of, order_of
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import polars as pl
    import psycopg

Mode = Literal["deliver", "rewrite"]
Status = Literal["written", "unchanged", "superseded", "duplicate"]

#: What a record takes of its winner, besides the attributes.
_CARRIED = ("event_time", "seq", "row_hash", "order_at", "order_seq", "said_seq")


def create_candidates(conn: psycopg.Connection[Any], table: RecordTable) -> None:
    """An empty temporary table of candidates, for as long as the connection lives."""
    conn.execute("DROP TABLE IF EXISTS pg_temp.candidate")
    conn.execute(
        "CREATE TEMP TABLE candidate AS"
        f" SELECT key, event_time, seq, 0::bigint AS line, row_hash{table.listed()}"
        f" FROM {table.record} WITH NO DATA"
    )


def add_candidates(conn: psycopg.Connection[Any], table: RecordTable, rows: pl.DataFrame) -> None:
    """COPY rows with the columns key, event_time, seq, line, row_hash and the attributes."""
    columns = ["key", "event_time", "seq", "line", "row_hash", *table.attributes]
    data = rows.select(columns).write_csv(
        include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00"
    )
    if data is None:  # never with no file given; the signature allows it
        raise TypeError("write_csv returned nothing")
    statement = f"COPY pg_temp.candidate ({', '.join(columns)}) FROM STDIN (FORMAT csv)"
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(data.encode())


def forget_candidates(conn: psycopg.Connection[Any], seq: int) -> None:
    """Take the candidates of one object version out again."""
    conn.execute("DELETE FROM pg_temp.candidate WHERE seq = %s", (seq,))


def lock_pipeline(conn: psycopg.Connection[Any], pipeline: str) -> None:
    """Until the end of the transaction no other decision of the pipeline is taken."""
    take_until_commit(conn, Lock.DECISION, pipeline)


#: Versions of whose records so many are said again, and all, are noted instead of the records.
SAID_AGAIN_ROWS = 1_000


#: What a kept row becomes. ``r`` is the current record, ``w`` the row with its rank in the batch,
#: ``best`` the newest version of the batch that tells of its record.
_DELIVER = f"""
    CASE{{taken_back}}
        WHEN w.row_hash <> CASE WHEN ({order_of("r")}) >= ({order_of("best")}) THEN r.row_hash
            ELSE w.best_hash END THEN 'superseded'
        WHEN w.seq <> w.first_seq THEN 'unchanged'
        WHEN r.row_hash = w.row_hash AND b.state IN ('loaded', 'loaded_with_rejects')
            AND b.records_lost = 0 THEN 'unchanged'
        ELSE 'written'
    END
"""
#: What a newer version of its object no longer holds is not told any more.
_TAKEN_BACK = f"""
        WHEN {origins.overruled_by_whole("best")}
            THEN CASE WHEN r.row_hash = w.row_hash THEN 'unchanged' ELSE 'superseded' END"""
#: A rewrite changes no record: the rows that still say what the record says are staged again.
_REWRITE = """
    CASE
        WHEN r.row_hash IS DISTINCT FROM w.row_hash THEN 'superseded'
        WHEN w.seq <> w.first_seq THEN 'unchanged'
        ELSE 'written'
    END
"""


def decide(conn: psycopg.Connection[Any], table: RecordTable, mode: Mode) -> None:
    """Give every candidate its status, in the temporary table ``decided`` of this transaction.

    Of a table by object, ``origins.note_versions`` must have been told what was read.

    Its order is that of the newest version that says the same, be it the record's. ``says`` is set
    in one row of each record that stays as it is.
    """
    conn.execute("SET LOCAL work_mem = '64MB'")
    conn.execute("SET LOCAL jit = off")
    conn.execute("ANALYZE pg_temp.candidate")
    by_object = table.by_object and mode == "deliver"
    status = (
        _REWRITE
        if mode == "rewrite"
        else _DELIVER.format(taken_back=_TAKEN_BACK if by_object else "")
    )
    conn.execute(
        f"""
        CREATE TEMP TABLE decided ON COMMIT DROP AS
        WITH version AS MATERIALIZED (
            SELECT said_seq, order_at, order_seq,
                row_number() OVER (ORDER BY order_at, order_seq, said_seq) AS place
            FROM (
                SELECT v.seq AS said_seq, coalesce(v.order_at, v.arrived) AS order_at,
                    coalesce(v.order_seq, v.seq) AS order_seq
                FROM (SELECT DISTINCT seq FROM pg_temp.candidate) AS c
                JOIN landing.object_version v USING (seq)
            ) AS ordered
        ), kept AS MATERIALIZED (
            SELECT key, seq, line, row_hash, first_value(line) OVER (
                PARTITION BY key, seq ORDER BY event_time DESC, line DESC) AS kept_line
            FROM pg_temp.candidate
        ), ranked AS (
            SELECT key, seq, line, row_hash,
                first_value(place) OVER newest AS best_place,
                first_value(row_hash) OVER newest AS best_hash,
                min(seq) OVER equal AS first_seq,
                max(place) OVER equal AS last_place
            FROM kept JOIN version ON version.said_seq = kept.seq
            WHERE line = kept_line
            WINDOW newest AS (PARTITION BY key ORDER BY place DESC),
                equal AS (PARTITION BY key, row_hash)
        )
        SELECT w.key, w.seq, w.line, NULL::bigint AS kept_line,
            {status} AS status,
            {newest_of("last", "r", "r.row_hash = w.row_hash")},
            CASE WHEN w.seq = w.first_seq AND r.row_hash = w.row_hash THEN r.batch_id END AS says,
            r.seq AS says_seq
        FROM ranked w
        JOIN version best ON best.place = w.best_place
        JOIN version last ON last.place = w.last_place
        LEFT JOIN {current_of(table)} r ON r.key = w.key
        LEFT JOIN landing.batch b ON b.batch_id = r.batch_id
        {origins.joined("w") if by_object else ""}
        UNION ALL
        SELECT key, seq, line, kept_line, 'duplicate', 0, 0, 0, NULL, NULL
        FROM kept WHERE line <> kept_line
        """
    )
    conn.execute("ANALYZE pg_temp.decided")


def apply(conn: psycopg.Connection[Any], table: RecordTable, batch_id: str) -> None:
    """Make the written rows the current records and remember what they replaced."""
    record, replaced = table.record, table.replaced
    columns = f"batch_id, key, event_time{table.listed()}"
    conn.execute(
        f"""
        INSERT INTO {replaced} ({columns})
        SELECT %(batch)s, r.key, r.event_time{table.listed("r.")}
        FROM pg_temp.decided d
        JOIN pg_temp.candidate c USING (key, seq, line)
        JOIN {record} r USING (key)
        WHERE d.status = 'written' AND r.row_hash <> c.row_hash
        UNION ALL
        SELECT %(batch)s, p.key, p.event_time{table.listed("p.")}
        FROM pg_temp.decided d
        JOIN pg_temp.candidate c USING (key, seq, line)
        JOIN {record} r USING (key)
        JOIN {replaced} p ON p.batch_id = r.batch_id AND p.key = r.key
        WHERE d.status = 'written' AND r.row_hash = c.row_hash
        ON CONFLICT (batch_id, key) DO NOTHING
        """,
        {"batch": batch_id},
    )
    updates = "".join(f", {name} = excluded.{name}" for name in (*_CARRIED, *table.attributes))
    conn.execute(
        f"""
        INSERT INTO {record} (key, batch_id, {", ".join(_CARRIED)}{table.listed()})
        SELECT key, %s, c.event_time, seq, c.row_hash, {order_of("d")}{table.listed("c.")}
        FROM pg_temp.decided d JOIN pg_temp.candidate c USING (key, seq, line)
        WHERE d.status = 'written'
        ORDER BY key
        ON CONFLICT (key) DO UPDATE SET batch_id = excluded.batch_id{updates}
        """,
        (batch_id,),
    )
    _note_said_again(conn, table)


def _note_said_again(conn: psycopg.Connection[Any], table: RecordTable) -> None:
    """Let unchanged records be as new as the newest version that says the same.

    What is decided later may be older. A file that comes again whole is noted as such: writing all
    of its records would take as long as reading it.
    """
    order = ", ".join(f"min({name}) AS {name}" for name in ORDER)
    conn.execute(
        f"""
        CREATE TEMP TABLE said ON COMMIT DROP AS
        SELECT says, says_seq, {order}, min(said_seq) = max(said_seq)
            AND count(*) >= %s AND count(*) = (
                SELECT count(*) FROM {table.record} r
                WHERE r.batch_id = d.says AND r.seq = d.says_seq) AS whole
        FROM pg_temp.decided d WHERE status = 'unchanged' AND says IS NOT NULL
        GROUP BY says, says_seq
        """,
        (SAID_AGAIN_ROWS,),
    )
    conn.execute(
        f"""
        INSERT INTO landing.said_again AS a (batch_id, seq, {", ".join(ORDER)})
        SELECT says, says_seq, {", ".join(ORDER)} FROM pg_temp.said WHERE whole
        ON CONFLICT (batch_id, seq) DO UPDATE
            SET ({", ".join(ORDER)}) = ROW ({order_of("excluded")})
            WHERE ({order_of("a")}) < ({order_of("excluded")})
        """
    )
    conn.execute(
        f"""
        UPDATE {table.record} r SET ({", ".join(ORDER)}) = ROW ({order_of("d")})
        FROM pg_temp.decided d JOIN pg_temp.said s USING (says, says_seq)
        WHERE d.status = 'unchanged' AND NOT s.whole AND r.key = d.key
            AND ({order_of("r")}) < ({order_of("d")})
        """
    )
