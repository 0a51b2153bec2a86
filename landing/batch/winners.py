"""Which rows of a batch win: decided once, in Postgres, against the pipeline's current records.

Belongs here: the order of records and the tables ``<pipeline>.record`` and ``.replaced``, or
``.<kind>_record`` and ``.<kind>_replaced`` where a pipeline has several kinds. Does not: where
winners are written (``staging.py``).

Order of a record = (event time, sequence of its object version). In one object the row with the
latest (event time, line) is kept. A row with the content of the winner is written once and
otherwise unchanged; a row with other content is superseded. While an older batch may still come,
the sequence of an unchanged record is raised to the newest that says the same, or that would win.
A record whose owning batch is not loaded yet is written again by an equal row and changes owner,
with what it replaced, so that a batch that never gets through holds nobody up.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from landing.batch.counts import RowCounts
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import polars as pl
    import psycopg

Mode = Literal["deliver", "rewrite"]
Status = Literal["written", "unchanged", "superseded", "duplicate"]

_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True, slots=True)
class RecordTable:
    """``<pipeline>.record``: key, event_time, seq, row_hash, batch_id and the attribute columns.

    ``kind`` sets a pipeline's records apart that have keys of their own; empty for the only ones.
    """

    pipeline: str
    attributes: tuple[str, ...]
    kind: str = ""

    def __post_init__(self) -> None:
        """Names become part of statements, so only plain identifiers are taken."""
        for name in (self.pipeline, *self.attributes, *([self.kind] if self.kind else [])):
            if not _IDENTIFIER.match(name):
                raise ValueError(f"not a plain identifier: {name!r}")

    @property
    def record(self) -> str:
        """The table of current records."""
        return f"{self.pipeline}.{self._prefix}record"

    @property
    def replaced(self) -> str:
        """The table of what a batch's winners replaced."""
        return f"{self.pipeline}.{self._prefix}replaced"

    @property
    def replaced_index(self) -> str:
        """The index of that by key."""
        return f"{self._prefix}replaced_key"

    @property
    def _prefix(self) -> str:
        return f"{self.kind}_" if self.kind else ""

    def listed(self, prefix: str = "") -> str:
        """``, a, b`` for a column list, each with ``prefix``."""
        return "".join(f", {prefix}{name}" for name in self.attributes)


def ensure(conn: psycopg.Connection[Any], table: RecordTable) -> None:
    """Make the pipeline's record tables where no migration has: attributes are text.

    A pipeline that keeps more of its records than that brings a migration.
    """
    found = conn.execute("SELECT to_regclass(%s)", (table.record,)).fetchone()
    if found and found[0]:
        return
    attributes = "".join(f', {name} text COLLATE "C"' for name in table.attributes)
    conn.execute(
        f"""
        CREATE SCHEMA IF NOT EXISTS {table.pipeline};
        CREATE TABLE IF NOT EXISTS {table.record} (
            key text COLLATE "C" PRIMARY KEY, event_time timestamptz NOT NULL,
            seq bigint NOT NULL, row_hash text NOT NULL, batch_id text COLLATE "C" NOT NULL
            {attributes});
        CREATE TABLE IF NOT EXISTS {table.replaced} (
            batch_id text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
            event_time timestamptz NOT NULL{attributes}, PRIMARY KEY (batch_id, key));
        CREATE INDEX IF NOT EXISTS {table.replaced_index} ON {table.replaced} (key);
        """
    )


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


#: What a kept row becomes. ``r`` is the current record, ``w`` the row with its rank in the batch.
_DELIVER = """
    CASE
        WHEN w.row_hash <> CASE
            WHEN (r.event_time, r.seq) >= (w.best_time, w.best_seq) THEN r.row_hash
            ELSE w.best_hash END THEN 'superseded'
        WHEN w.seq <> w.first_seq THEN 'unchanged'
        WHEN r.row_hash = w.row_hash AND b.state IN ('loaded', 'loaded_with_rejects')
            THEN 'unchanged'
        ELSE 'written'
    END
"""
#: A rewrite changes no record: the rows that still say what the record says are staged again.
_REWRITE = """
    CASE
        WHEN r.row_hash IS DISTINCT FROM w.row_hash THEN 'superseded'
        WHEN w.seq <> w.first_seq THEN 'unchanged'
        ELSE 'written'
    END
"""


def decide(conn: psycopg.Connection[Any], table: RecordTable, mode: Mode) -> None:
    """Give every candidate its status, in the temporary table ``decided`` of this transaction."""
    conn.execute("SET LOCAL work_mem = '64MB'")
    conn.execute("SET LOCAL jit = off")
    conn.execute("ANALYZE pg_temp.candidate")
    conn.execute(
        f"""
        CREATE TEMP TABLE decided ON COMMIT DROP AS
        WITH kept AS MATERIALIZED (
            SELECT key, event_time, seq, line, row_hash, first_value(line) OVER (
                PARTITION BY key, seq ORDER BY event_time DESC, line DESC) AS kept_line
            FROM pg_temp.candidate
        ), ranked AS (
            SELECT key, event_time, seq, line, row_hash,
                first_value(event_time) OVER newest AS best_time,
                first_value(seq) OVER newest AS best_seq,
                first_value(row_hash) OVER newest AS best_hash,
                min(seq) OVER equal AS first_seq,
                max(seq) OVER equal AS last_seq
            FROM kept
            WHERE line = kept_line
            WINDOW newest AS (PARTITION BY key ORDER BY event_time DESC, seq DESC),
                equal AS (PARTITION BY key, row_hash)
        )
        SELECT w.key, w.seq, w.line, w.last_seq, NULL::bigint AS kept_line,
            {_DELIVER if mode == "deliver" else _REWRITE} AS status
        FROM ranked w
        LEFT JOIN {table.record} r ON r.key = w.key
        LEFT JOIN landing.batch b ON b.batch_id = r.batch_id
        UNION ALL
        SELECT key, seq, line, seq, kept_line, 'duplicate' FROM kept WHERE line <> kept_line
        """
    )
    conn.execute("ANALYZE pg_temp.decided")


def count_statuses(conn: psycopg.Connection[Any]) -> dict[int, RowCounts]:
    """Rows per object version's sequence; ``rejected`` has the duplicates, ``read`` all."""
    cursor = conn.execute(
        """
        SELECT seq, count(*), count(*) FILTER (WHERE status = 'written'),
            count(*) FILTER (WHERE status = 'unchanged'),
            count(*) FILTER (WHERE status = 'superseded'),
            count(*) FILTER (WHERE status = 'duplicate')
        FROM pg_temp.decided GROUP BY seq
        """
    )
    return {seq: RowCounts(*counts) for seq, *counts in cursor}


class StatusReader:
    """The statuses in (seq, line) order, taken as they are needed; use as a context manager.

    The connection can do nothing else until the context is left.
    """

    def __init__(self, conn: psycopg.Connection[Any]) -> None:
        self._conn = conn
        self._stack = ExitStack()
        self._pending = b""

    def __enter__(self) -> Self:
        """Start the copy."""
        cursor = self._stack.enter_context(self._conn.cursor())
        self._copy = self._stack.enter_context(
            cursor.copy(
                "COPY (SELECT seq, line, status, kept_line FROM pg_temp.decided"
                " ORDER BY seq, line) TO STDOUT (FORMAT csv)"
            )
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while kind is None and self._copy.read():  # only then is the connection free again
            pass
        self._stack.__exit__(kind, error, traceback)

    def take(self, count: int) -> pl.DataFrame:
        """The next ``count`` statuses, fewer at the end.

        Columns: seq, line, status, kept_line (null unless the status is ``duplicate``).
        """
        import polars as pl

        parts, lines = [self._pending], self._pending.count(b"\n")
        while lines < count and (data := bytes(self._copy.read())):
            parts.append(data)
            lines += data.count(b"\n")
        text = b"".join(parts)
        end = len(text)
        for _ in range(lines - count):  # only if the server puts several rows in a message
            end = text.rindex(b"\n", 0, end - 1) + 1
        text, self._pending = text[:end], text[end:]
        schema = {"seq": pl.Int64, "line": pl.Int64, "status": pl.String, "kept_line": pl.Int64}
        if not text:
            return pl.DataFrame(schema=schema)
        return pl.read_csv(text, has_header=False, schema=schema)


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
    if _older_to_come(conn, table, batch_id):
        conn.execute(
            f"""
            UPDATE {record} r SET seq = d.last_seq FROM pg_temp.decided d
            WHERE d.status = 'unchanged' AND r.key = d.key AND r.seq < d.last_seq
            """
        )
    updates = "".join(f", {name} = excluded.{name}" for name in table.attributes)
    conn.execute(
        f"""
        INSERT INTO {record} AS r (key, event_time, seq, row_hash, batch_id{table.listed()})
        SELECT key, c.event_time, d.last_seq, c.row_hash, %s{table.listed("c.")}
        FROM pg_temp.decided d JOIN pg_temp.candidate c USING (key, seq, line)
        WHERE d.status = 'written'
        ORDER BY key
        ON CONFLICT (key) DO UPDATE SET event_time = excluded.event_time,
            seq = CASE WHEN r.row_hash = excluded.row_hash THEN greatest(r.seq, excluded.seq)
                ELSE excluded.seq END,
            row_hash = excluded.row_hash, batch_id = excluded.batch_id{updates}
        """,
        (batch_id,),
    )


def _older_to_come(conn: psycopg.Connection[Any], table: RecordTable, batch_id: str) -> bool:
    """Whether an object version older than the newest of this batch is still to be decided.

    Only such a one can be beaten by a raised sequence, and raising those of a large unchanged
    file costs as much as reading it.
    """
    row = conn.execute(
        """
        WITH newest AS MATERIALIZED (
            SELECT max(seq) AS seq FROM landing.object_version WHERE batch_id = %(batch)s)
        SELECT EXISTS (
            SELECT FROM landing.batch b JOIN landing.object_version v USING (batch_id), newest
            WHERE b.pipeline = %(pipeline)s AND b.validated_at IS NULL
                AND b.batch_id <> %(batch)s AND v.seq < newest.seq
        ) OR EXISTS (
            SELECT FROM landing.object_version v, newest
            WHERE v.batch_id IS NULL AND v.seq < newest.seq
                AND v.source IN (SELECT source FROM landing.batch WHERE pipeline = %(pipeline)s)
        )
        """,
        {"batch": batch_id, "pipeline": table.pipeline},
    ).fetchone()
    return row is None or bool(row[0])
