"""Rows in Postgres: copied beside a table, then inserted or updated by key in one transaction.

Belongs here: a table as it is declared, COPY of frames, the upsert and its read-back, which errors
speak of rows. Does not: the connection (``resources/postgres.py``), tables that are brought to what
is computed as a whole (``postgres_replacing.py``).
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
        f" ({', '.join(columns)}, PRIMARY KEY ({listed(table.key)}))"
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
            f" SELECT {listed(table.names)} FROM {table.qualified} WITH NO DATA"
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
    columns = listed(table.names)
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
        cursor.copy(f"COPY {target} ({listed(columns)}) FROM STDIN (FORMAT csv)") as copy,
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
        f"INSERT INTO {table.qualified} AS t ({listed(table.names)})"
        f" SELECT {listed(table.names)} FROM {source}"
        f" ON CONFLICT ({listed(table.key)}) DO UPDATE SET {changes}"
        f" WHERE t.row_hash IS DISTINCT FROM excluded.row_hash"
    )


def _read_back(conn: psycopg.Connection[Any], table: Table) -> Verification:
    row = conn.execute(
        f"""
        SELECT count(*), count(*) FILTER (WHERE t.row_hash IS NULL),
            count(*) FILTER (WHERE t.row_hash <> i.row_hash),
            (array_agg(i."{table.key[0]}"::text)
                FILTER (WHERE t.row_hash IS DISTINCT FROM i.row_hash))[:{SAMPLE}]
        FROM {_INCOMING} AS i LEFT JOIN {table.qualified} AS t USING ({listed(table.key)})
        """
    ).fetchone()
    expected, missing, differing, sample = row or (0, 0, 0, None)
    return Verification(expected, missing, differing, sample=tuple(sample or ()))


def listed(names: Iterable[str]) -> str:
    """The names as SQL has them in a list."""
    return ", ".join(f'"{name}"' for name in names)
