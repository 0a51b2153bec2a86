"""Rows in Postgres: copied beside a table, then inserted or updated by key in one transaction.

Belongs here: a table as it is declared, COPY of frames, the upsert and its read-back, bringing a
table to what a relation says, which errors speak of rows. Does not: the connection
(``resources/postgres.py``), what a pipeline computes from its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from assets.frame.tables import ROW_HASH, Table
from assets.sinks.isolating import Isolating, Refusal
from assets.sinks.result import SAMPLE, SinkResult, Verification
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import polars as pl
    import psycopg

    from landing.batch.delivery import Delivery

#: What COPY reads whatever the server's settings are.
_DATETIME_FORMAT = "%Y-%m-%d %H:%M:%S%.6f+00"
_INCOMING = "pg_temp.incoming"
_PIECE = "pg_temp.piece"
#: Classes of SQLSTATE that may be a row's fault: wrong data, broken constraints.
_OF_DATA = ("22", "23")
#: A text that no column can hold, and a value that is too large for an index.
_OF_ONE_VALUE = frozenset({"22021", "22P05", "54000"})
_OTHERWISE = """
SELECT d.name, d.type, a.attname IS NOT NULL
FROM unnest(%s::text[], %s::text[]) AS d (name, type)
LEFT JOIN pg_attribute AS a
    ON a.attrelid = %s::regclass AND a.attname = d.name AND NOT a.attisdropped
WHERE a.atttypid IS DISTINCT FROM to_regtype(d.type)
ORDER BY d.name
"""


class AnotherTableError(PermanentError):
    """The table is there and is not as it is declared."""


def definition(table: Table) -> str:
    """``CREATE TABLE`` as the table is declared, with its primary key."""
    columns = [
        f'"{column.name}" {column.type}{"" if column.nullable else " NOT NULL"}'
        for column in table.columns
    ]
    return (
        f"CREATE TABLE IF NOT EXISTS {table.qualified}"
        f" ({', '.join(columns)}, PRIMARY KEY ({_listed(table.key)}))"
    )


def ensure(conn: psycopg.Connection[Any], table: Table) -> None:
    """Create the table, and the pipeline's schema, where they are missing.

    Raises AnotherTableError when it lacks a column, or has one of another type. Columns that are
    not declared do not matter.
    """
    if not _there(conn, table):
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS {table.pipeline}")
        conn.execute(definition(table))
    types = [column.type for column in table.columns]
    other = conn.execute(_OTHERWISE, (list(table.names), types, table.qualified)).fetchall()
    if other:
        changes = ", ".join(
            f'{"ALTER" if there else "ADD"} COLUMN "{name}" {"TYPE " if there else ""}{kind}'
            for name, kind, there in other
        )
        raise AnotherTableError(
            f"{table.qualified} is not as declared: `ALTER TABLE {table.qualified} {changes}`"
        )


def upsert(
    conn: psycopg.Connection[Any], delivery: Delivery, table: Table
) -> tuple[SinkResult, Verification]:
    """Write the delivery's rows by the table's key, read them back and mark its sink done.

    All in one transaction, of which nothing is kept when it does not read back as written
    (``Verification.ok`` is false then). Rows that are there with the same hash stay as they are and
    count as ``unchanged``. The staged rows have all of the table's columns, ``row_hash`` among
    them. One that Postgres refuses is told to the delivery, and an earlier row of its key stays.
    Raises AnotherTableError and psycopg errors.
    """
    import psycopg

    started = time.monotonic()
    table.column(ROW_HASH.name)  # without it nothing could be compared
    # Savepoints cost round trips: they are set once something was refused.
    try:
        rows, changed, found = _upserted(conn, delivery, table, _all_at_once)
    except psycopg.Error as error:
        if refusal(error) is None:
            raise
        rows, changed, found = _upserted(conn, delivery, table, _piece_by_piece)
    return SinkResult(rows, rows - changed, 0, time.monotonic() - started), found


def refusal(error: Exception) -> Refusal | None:
    """What Postgres says of rows: postgresql.org/docs/current/errcodes-appendix.html."""
    import psycopg

    state = getattr(error, "sqlstate", None) or ""
    if not isinstance(error, psycopg.Error) or not (
        state.startswith(_OF_DATA) or state in _OF_ONE_VALUE
    ):
        return None
    # A detail is a key, or all of the row.
    said = [error.diag.message_primary or str(error), error.diag.message_detail or ""]
    short = [text for text in said if text and not text.startswith("Failing row contains")]
    return Refusal(" ".join(short), certain=state in _OF_ONE_VALUE)


def _upserted(
    conn: psycopg.Connection[Any],
    delivery: Delivery,
    table: Table,
    write: Callable[[psycopg.Connection[Any], Delivery, Table], tuple[int, int]],
) -> tuple[int, int, Verification]:
    """How many rows were written, how many of them were not there equal, and what was read back."""
    import psycopg

    with conn.transaction() as transaction:
        ensure(conn, table)
        conn.execute(
            f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS"
            f" SELECT {_listed(table.names)} FROM {table.qualified} WITH NO DATA"
        )
        rows, changed = write(conn, delivery, table)
        found = _read_back(conn, table)
        if not found.ok:
            raise psycopg.Rollback(transaction)
        delivery.done_in(conn, rows_written=rows)
    return rows, changed, found


def _all_at_once(
    conn: psycopg.Connection[Any], delivery: Delivery, table: Table
) -> tuple[int, int]:
    rows = copy_frames(conn, _INCOMING, table.names, delivery.chunks())
    conn.execute(f"ANALYZE {_INCOMING}")
    return rows, conn.execute(_upsert_statement(table, _INCOMING)).rowcount


def _piece_by_piece(
    conn: psycopg.Connection[Any], delivery: Delivery, table: Table
) -> tuple[int, int]:
    """The same in savepoints, so that what is refused costs its own piece only."""
    rows = changed = 0
    columns = _listed(table.names)
    conn.execute(f"CREATE TEMPORARY TABLE piece (LIKE {_INCOMING}) ON COMMIT DROP")

    def write(frame: pl.DataFrame) -> None:
        nonlocal rows, changed
        with conn.transaction():
            conn.execute(f"TRUNCATE {_PIECE}")
            copy_frames(conn, _PIECE, table.names, [frame])
            new = conn.execute(_upsert_statement(table, _PIECE)).rowcount
            conn.execute(f"INSERT INTO {_INCOMING} ({columns}) SELECT {columns} FROM {_PIECE}")
        rows, changed = rows + frame.height, changed + new

    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refusing(delivery))
    for chunk in delivery.chunks():
        isolating.write(chunk, write)
    isolating.settle()
    conn.execute(f"ANALYZE {_INCOMING}")
    return rows, changed


def refusing(delivery: Delivery) -> Callable[[pl.DataFrame, str], None]:
    """Tells the delivery of one of its rows, whose first column is the record's key."""
    return lambda row, detail: delivery.refuse(str(row.item(0, 0)), detail)


def reconcile(
    conn: psycopg.Connection[Any], table: Table, fresh: str, *, within: str = "TRUE"
) -> tuple[int, int, int]:
    """Rows deleted, updated, inserted so that the table holds those of the relation ``fresh``.

    ``within`` is a condition on the table's own columns: rows beyond it are left alone, and
    ``fresh`` has none of them. Rows that are equal are neither written nor locked.
    """
    rest = [name for name in table.names if name not in table.key]
    same = " AND ".join(f't."{name}" = f."{name}"' for name in table.key)
    old, new = (", ".join(f'{alias}."{name}"' for name in rest) for alias in "tf")
    # One statement each instead of ON CONFLICT DO UPDATE, which would lock, and so write, unchanged
    # rows too.
    deleted = conn.execute(
        f"DELETE FROM {table.qualified} AS t WHERE {within}"
        f" AND NOT EXISTS (SELECT FROM {fresh} AS f WHERE {same})"
    )
    # Rows that are nothing but their key cannot differ.
    updated = 0
    if rest:
        updated = conn.execute(
            f"UPDATE {table.qualified} AS t SET ({_listed(rest)}) = ROW({new})"
            f" FROM {fresh} AS f WHERE {same} AND ({old}) IS DISTINCT FROM ({new})"
        ).rowcount
    # Not by NOT EXISTS: planned for an empty table, it would scan all that it has inserted so far
    # for every further row.
    inserted = conn.execute(
        f"INSERT INTO {table.qualified} ({_listed(table.names)})"
        f" SELECT {_listed(table.names)} FROM {fresh} ON CONFLICT ({_listed(table.key)}) DO NOTHING"
    )
    return deleted.rowcount, updated, inserted.rowcount


def replace_within(
    conn: psycopg.Connection[Any], table: Table, frame: pl.DataFrame, within: str
) -> tuple[SinkResult, Verification]:
    """Make the table's rows for which the condition ``within`` holds be those of the frame.

    All in one transaction, of which nothing is kept when it does not read back as written. Equal
    rows stay as they are and count as ``unchanged``. The table is created where it is missing;
    ``frame`` has its columns, and all of its rows fulfil the condition. Raises AnotherTableError
    and psycopg errors.
    """
    import psycopg

    started = time.monotonic()
    with conn.transaction() as transaction:
        ensure(conn, table)
        conn.execute(
            f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS"
            f" SELECT {_listed(table.names)} FROM {table.qualified} WITH NO DATA"
        )
        rows = copy_frames(conn, _INCOMING, table.names, [frame])
        conn.execute(f"ANALYZE {_INCOMING}")
        deleted, updated, inserted = reconcile(conn, table, _INCOMING, within=within)
        found = _compared_within(conn, table, rows, within)
        if not found.ok:
            raise psycopg.Rollback(transaction)
    seconds = time.monotonic() - started
    return SinkResult(rows, rows - updated - inserted, deleted, seconds), found


def _compared_within(
    conn: psycopg.Connection[Any], table: Table, rows: int, within: str
) -> Verification:
    """What came in against what the table holds now, column by column."""
    key, columns = _listed(table.key), _listed(table.names)
    row = conn.execute(
        f"""
        WITH held AS (SELECT {columns} FROM {table.qualified} AS t WHERE {within}),
            lacking AS (SELECT {columns} FROM {_INCOMING} EXCEPT SELECT {columns} FROM held),
            surplus AS (SELECT {columns} FROM held EXCEPT SELECT {columns} FROM {_INCOMING}),
            differing AS (SELECT {key} FROM lacking INTERSECT SELECT {key} FROM surplus)
        SELECT (SELECT count(*) FROM lacking), (SELECT count(*) FROM surplus),
            (SELECT count(*) FROM differing),
            ARRAY(SELECT concat_ws(' ', {key}) FROM lacking LIMIT {SAMPLE})
        """
    ).fetchone()
    lacking, surplus, differing, sample = row or (0, 0, 0, [])
    return Verification(rows, lacking - differing, differing, surplus - differing, tuple(sample))


def copy_frames(
    conn: psycopg.Connection[Any],
    target: str,
    columns: Sequence[str],
    frames: Iterable[pl.DataFrame],
) -> int:
    """COPY the columns of the frames into the table, one frame after another; how many rows."""
    rows = 0
    with (
        conn.cursor() as cursor,
        cursor.copy(f"COPY {target} ({_listed(columns)}) FROM STDIN (FORMAT csv)") as copy,
    ):
        for frame in frames:
            copy.write(csv_of(frame.select(columns)))
            rows += frame.height
    return rows


def csv_of(frame: pl.DataFrame) -> bytes:
    """CSV in which null is an empty field and an empty text is quoted, as COPY reads it."""
    return frame.write_csv(include_header=False, datetime_format=_DATETIME_FORMAT).encode()


def _there(conn: psycopg.Connection[Any], table: Table) -> bool:
    row = conn.execute("SELECT to_regclass(%s) IS NOT NULL", (table.qualified,)).fetchone()
    return row is not None and bool(row[0])


def _upsert_statement(table: Table, source: str) -> str:
    changes = ", ".join(
        f'"{name}" = excluded."{name}"' for name in table.names if name not in table.key
    )
    return (
        f"INSERT INTO {table.qualified} AS t ({_listed(table.names)})"
        f" SELECT {_listed(table.names)} FROM {source}"
        f" ON CONFLICT ({_listed(table.key)}) DO UPDATE SET {changes}"
        f" WHERE t.row_hash IS DISTINCT FROM excluded.row_hash"
    )


def _read_back(conn: psycopg.Connection[Any], table: Table) -> Verification:
    row = conn.execute(
        f"""
        SELECT count(*), count(*) FILTER (WHERE t.row_hash IS NULL),
            count(*) FILTER (WHERE t.row_hash <> i.row_hash),
            (array_agg(i."{table.key[0]}"::text)
                FILTER (WHERE t.row_hash IS DISTINCT FROM i.row_hash))[:{SAMPLE}]
        FROM {_INCOMING} AS i LEFT JOIN {table.qualified} AS t USING ({_listed(table.key)})
        """
    ).fetchone()
    expected, missing, differing, sample = row or (0, 0, 0, None)
    return Verification(expected, missing, differing, sample=tuple(sample or ()))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
