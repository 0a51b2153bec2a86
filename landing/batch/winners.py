"""Which rows of a batch win: decided once, in Postgres, against the pipeline's current records.

Belongs here: the order of records and the tables ``<pipeline>.record`` and ``.replaced``, or
``.<kind>_record`` and ``.<kind>_replaced`` where a pipeline has several kinds. Does not: where
winners are written (``staging.py``).

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

import re
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from landing.arrival.identity import ObjectVersion
from landing.batch.counts import RowCounts
from resources.advisory_locks import Lock, take_until_commit

if TYPE_CHECKING:
    import polars as pl
    import psycopg

Mode = Literal["deliver", "rewrite"]
Status = Literal["written", "unchanged", "superseded", "duplicate"]

#: What a record takes of its winner, besides the attributes.
_CARRIED = ("event_time", "seq", "row_hash", "order_at", "order_seq", "said_seq")
_IDENTITY = ("store", "bucket", "key", "version", "size", "modified_at")

_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True, slots=True)
class RecordTable:
    """``<pipeline>.record``: key, event_time, seq, row_hash, batch_id and the attribute columns.

    ``batch_id`` is the batch that owns it, whose staging has its row, and ``seq`` the object
    version of that row. It is ordered by (``order_at``, ``order_seq``, ``said_seq``): as the newest
    version that says the same, or as landing.said_again has it of all records of batch and version.

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
    def record_index(self) -> str:
        """The index of current records by the batch and version that own them."""
        return f"{self._prefix}record_batch"

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
            {attributes}, order_at bigint NOT NULL DEFAULT 0,
            order_seq bigint NOT NULL DEFAULT 0, said_seq bigint NOT NULL DEFAULT 0);
        CREATE INDEX IF NOT EXISTS {table.record_index} ON {table.record} (batch_id, seq);
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


def lock_pipeline(conn: psycopg.Connection[Any], pipeline: str) -> None:
    """Until the end of the transaction no other decision of the pipeline is taken."""
    take_until_commit(conn, Lock.DECISION, pipeline)


_ORDER = ("order_at", "order_seq", "said_seq")
#: Versions of whose records so many are said again, and all, are noted instead of the records.
SAID_AGAIN_ROWS = 1_000


def _order(of: str) -> str:
    return ", ".join(f"{of}.{name}" for name in _ORDER)


def _newest(of: str, other: str, where: str = "true") -> str:
    """The later of two orders, as three columns; ``other`` may be null."""
    later = f"{where} AND ({_order(other)}) > ({_order(of)})"
    return ", ".join(
        f"CASE WHEN {later} THEN {other}.{name} ELSE {of}.{name} END AS {name}" for name in _ORDER
    )


def _current(table: RecordTable) -> str:
    """The current records with what they are ordered by."""
    return f"""(
        SELECT o.key, o.row_hash, o.batch_id, o.seq, {_newest("o", "a")}
        FROM {table.record} o LEFT JOIN landing.said_again a USING (batch_id, seq))"""


#: What a kept row becomes. ``r`` is the current record, ``w`` the row with its rank in the batch,
#: ``best`` the newest version of the batch that tells of its record.
_DELIVER = f"""
    CASE
        WHEN w.row_hash <> CASE WHEN ({_order("r")}) >= ({_order("best")}) THEN r.row_hash
            ELSE w.best_hash END THEN 'superseded'
        WHEN w.seq <> w.first_seq THEN 'unchanged'
        WHEN r.row_hash = w.row_hash AND b.state IN ('loaded', 'loaded_with_rejects')
            AND b.records_lost = 0 THEN 'unchanged'
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
    """Give every candidate its status, in the temporary table ``decided`` of this transaction.

    Its order is that of the newest version that says the same, be it the record's. ``says`` is set
    in one row of each record that stays as it is.
    """
    conn.execute("SET LOCAL work_mem = '64MB'")
    conn.execute("SET LOCAL jit = off")
    conn.execute("ANALYZE pg_temp.candidate")
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
            {_DELIVER if mode == "deliver" else _REWRITE} AS status,
            {_newest("last", "r", "r.row_hash = w.row_hash")},
            CASE WHEN w.seq = w.first_seq AND r.row_hash = w.row_hash THEN r.batch_id END AS says,
            r.seq AS says_seq
        FROM ranked w
        JOIN version best ON best.place = w.best_place
        JOIN version last ON last.place = w.last_place
        LEFT JOIN {_current(table)} r ON r.key = w.key
        LEFT JOIN landing.batch b ON b.batch_id = r.batch_id
        UNION ALL
        SELECT key, seq, line, kept_line, 'duplicate', 0, 0, 0, NULL, NULL
        FROM kept WHERE line <> kept_line
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
    updates = "".join(f", {name} = excluded.{name}" for name in (*_CARRIED, *table.attributes))
    conn.execute(
        f"""
        INSERT INTO {record} (key, batch_id, {", ".join(_CARRIED)}{table.listed()})
        SELECT key, %s, c.event_time, seq, c.row_hash, {_order("d")}{table.listed("c.")}
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
    order = ", ".join(f"min({name}) AS {name}" for name in _ORDER)
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
        INSERT INTO landing.said_again AS a (batch_id, seq, {", ".join(_ORDER)})
        SELECT says, says_seq, {", ".join(_ORDER)} FROM pg_temp.said WHERE whole
        ON CONFLICT (batch_id, seq) DO UPDATE
            SET ({", ".join(_ORDER)}) = ROW ({_order("excluded")})
            WHERE ({_order("a")}) < ({_order("excluded")})
        """
    )
    conn.execute(
        f"""
        UPDATE {table.record} r SET ({", ".join(_ORDER)}) = ROW ({_order("d")})
        FROM pg_temp.decided d JOIN pg_temp.said s USING (says, says_seq)
        WHERE d.status = 'unchanged' AND NOT s.whole AND r.key = d.key
            AND ({_order("r")}) < ({_order("d")})
        """
    )


@dataclass(frozen=True, slots=True)
class Overruled:
    """A row that another version overrules: with other content, and newer."""

    key: str
    source: str
    line: int
    by: str


def overruled(
    conn: psycopg.Connection[Any], table: RecordTable, limit: int
) -> tuple[Overruled, ...]:
    """The first superseded rows of the applied decision, and the version that each lost to."""
    version = ", ".join(f"{{0}}.{name}" for name in _IDENTITY)
    cursor = conn.execute(
        f"""
        SELECT d.key, d.line, {version.format("o")}, {version.format("w")}
        FROM (SELECT key, seq, line FROM pg_temp.decided WHERE status = 'superseded'
            ORDER BY seq, line LIMIT %s) AS d
        JOIN {_current(table)} r USING (key)
        JOIN landing.object_version o ON o.seq = d.seq
        JOIN landing.object_version w ON w.seq = r.said_seq
        ORDER BY d.seq, d.line
        """,
        (limit,),
    )
    width = len(_IDENTITY)
    return tuple(
        Overruled(key, ObjectVersion(*both[:width]).uri, line, ObjectVersion(*both[width:]).uri)
        for key, line, *both in cursor
    )


def current_rows(
    conn: psycopg.Connection[Any], table: RecordTable, rows: pl.DataFrame, owner: str | None = None
) -> pl.DataFrame:
    """Those of the staged rows that say what their records say, in order.

    With ``owner`` only those whose records this batch owns. The key is the first column.
    """
    import polars as pl

    key = rows.columns[0]
    found = conn.execute(
        f"""
        SELECT r.key, r.row_hash
        FROM unnest(%(keys)s::text[], %(hashes)s::text[]) AS c (key, row_hash)
        JOIN {table.record} r ON r.key = c.key AND r.row_hash = c.row_hash
        WHERE %(owner)s::text IS NULL OR r.batch_id = %(owner)s
        """,
        {
            "keys": rows.get_column(key).to_list(),
            "hashes": rows.get_column("row_hash").to_list(),
            "owner": owner,
        },
    ).fetchall()
    current = pl.DataFrame(found, schema={key: pl.String, "row_hash": pl.String}, orient="row")
    return rows.join(current, on=[key, "row_hash"], how="semi", maintain_order="left")
