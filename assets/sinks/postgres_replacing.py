"""Tables in Postgres that are brought to what a relation or a frame says, equal rows left alone.

Belongs here: deleting, updating and inserting what differs, and the read-back. Does not: rows that
are written by key beside others (``postgres.py``), what a pipeline computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assets.frame.tables import Table
from assets.sinks.isolating import Isolating
from assets.sinks.postgres import copy_frames, ensure, listed, refusal
from assets.sinks.result import SAMPLE, SinkResult, Verification

if TYPE_CHECKING:
    import polars as pl
    import psycopg

_INCOMING = "pg_temp.incoming"
_PIECE = "pg_temp.piece"
_GIVEN = "pg_temp.given"


def reconcile(
    conn: psycopg.Connection[Any], table: Table, fresh: str, *, within: str = "TRUE"
) -> tuple[int, int, int]:
    """Rows deleted, updated, inserted so that the table holds those of the relation ``fresh``.

    ``within`` is a condition on the table's own columns: rows beyond it are left alone, and
    ``fresh`` has none of them. Rows that are equal are neither written nor locked.
    """
    rest = [name for name in table.names if name not in table.key]
    same = _same(table, "f")
    old, new = (", ".join(f'{alias}."{name}"' for name in rest) for alias in "tf")
    # One statement each instead of ON CONFLICT DO UPDATE, which would lock, and so write, unchanged
    # rows too.
    deleted = conn.execute(
        f"DELETE FROM {table.qualified} AS t WHERE {within} AND {_not_among(table, fresh)}"
    )
    # Rows that are nothing but their key cannot differ.
    updated = 0
    if rest:
        updated = conn.execute(
            f"UPDATE {table.qualified} AS t SET ({listed(rest)}) = ROW({new})"
            f" FROM {fresh} AS f WHERE {same} AND ({old}) IS DISTINCT FROM ({new})"
        ).rowcount
    # Not by NOT EXISTS: planned for an empty table, it would scan all that it has inserted so far
    # for every further row.
    inserted = conn.execute(
        f"INSERT INTO {table.qualified} ({listed(table.names)})"
        f" SELECT {listed(table.names)} FROM {fresh} ON CONFLICT ({listed(table.key)}) DO NOTHING"
    )
    return deleted.rowcount, updated, inserted.rowcount


def replace_within(
    conn: psycopg.Connection[Any],
    table: Table,
    frame: pl.DataFrame,
    within: str,
    *,
    refused: Callable[[pl.DataFrame, str], None] | None = None,
) -> tuple[SinkResult, Verification]:
    """Make the table's rows for which the condition ``within`` holds be those of the frame.

    All in one transaction, of which nothing is kept when it does not read back as written. Equal
    rows stay as they are and count as ``unchanged``. The table is created where it is missing;
    ``frame`` has its columns, and all of its rows fulfil the condition. ``refused`` is given each
    row that Postgres refuses while it takes others, and its words: an earlier row of its key stays.
    Raises AnotherTableError and psycopg errors.
    """
    import psycopg

    started = time.monotonic()
    try:
        done, found = _replaced(conn, table, frame, within, None)
    except psycopg.Error as error:
        if refused is None or refusal(error) is None:
            raise
        done, found = _replaced(conn, table, frame, within, refused)
    deleted, updated, inserted = done
    seconds = time.monotonic() - started
    return SinkResult(found.expected, found.expected - updated - inserted, deleted, seconds), found


def _replaced(
    conn: psycopg.Connection[Any],
    table: Table,
    frame: pl.DataFrame,
    within: str,
    refused: Callable[[pl.DataFrame, str], None] | None,
) -> tuple[tuple[int, int, int], Verification]:
    """Rows deleted, updated, inserted, and what was read back; in pieces when rows are refused."""
    import psycopg

    with conn.transaction() as transaction:
        ensure(conn, table)
        conn.execute(
            f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS"
            f" SELECT {listed(table.names)} FROM {table.qualified} WITH NO DATA"
        )
        if refused is None:
            copy_frames(conn, _INCOMING, table.names, [frame])
            conn.execute(f"ANALYZE {_INCOMING}")
            done = reconcile(conn, table, _INCOMING, within=within)
        else:
            done = _reconciled_in_pieces(conn, table, frame, within, refused)
            within = (
                f"{within} AND NOT EXISTS (SELECT FROM {_GIVEN} AS g WHERE {_same(table, 'g')})"
            )
        found = _compared_within(conn, table, within)
        if not found.ok:
            raise psycopg.Rollback(transaction)
    return done, found


def _reconciled_in_pieces(
    conn: psycopg.Connection[Any],
    table: Table,
    frame: pl.DataFrame,
    within: str,
    refused: Callable[[pl.DataFrame, str], None],
) -> tuple[int, int, int]:
    """The same in savepoints. The keys of what was refused are left in ``given``."""
    key, columns = listed(table.key), listed(table.names)
    conn.execute(f"CREATE TEMPORARY TABLE piece (LIKE {_INCOMING}) ON COMMIT DROP")
    conn.execute(
        f"CREATE TEMPORARY TABLE given ON COMMIT DROP AS SELECT {key} FROM {_INCOMING} WITH NO DATA"
    )
    copy_frames(conn, _GIVEN, table.key, [frame])
    updated = inserted = 0
    # First, as in `reconcile`: what is to go must not be in the way of what comes.
    deleted = conn.execute(
        f"DELETE FROM {table.qualified} AS t WHERE {within} AND {_not_among(table, _GIVEN)}"
    ).rowcount

    def write(rows: pl.DataFrame) -> None:
        nonlocal updated, inserted
        with conn.transaction():
            conn.execute(f"TRUNCATE {_PIECE}")
            copy_frames(conn, _PIECE, table.names, [rows])
            _, changed, new = reconcile(conn, table, _PIECE, within="FALSE")
            conn.execute(f"INSERT INTO {_INCOMING} ({columns}) SELECT {columns} FROM {_PIECE}")
        updated, inserted = updated + changed, inserted + new

    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refused)
    isolating.write(frame, write)
    isolating.settle()
    conn.execute(f"DELETE FROM {_GIVEN} AS t USING {_INCOMING} AS i WHERE {_same(table, 'i')}")
    return deleted, updated, inserted


def _compared_within(conn: psycopg.Connection[Any], table: Table, within: str) -> Verification:
    """What came in against what the table holds now, column by column."""
    key, columns = listed(table.key), listed(table.names)
    row = conn.execute(
        f"""
        WITH held AS (SELECT {columns} FROM {table.qualified} AS t WHERE {within}),
            lacking AS (SELECT {columns} FROM {_INCOMING} EXCEPT SELECT {columns} FROM held),
            surplus AS (SELECT {columns} FROM held EXCEPT SELECT {columns} FROM {_INCOMING}),
            differing AS (SELECT {key} FROM lacking INTERSECT SELECT {key} FROM surplus)
        SELECT (SELECT count(*) FROM {_INCOMING}), (SELECT count(*) FROM lacking),
            (SELECT count(*) FROM surplus), (SELECT count(*) FROM differing),
            ARRAY(SELECT concat_ws(' ', {key}) FROM lacking LIMIT {SAMPLE})
        """
    ).fetchone()
    rows, lacking, surplus, differing, sample = row or (0, 0, 0, 0, [])
    return Verification(rows, lacking - differing, differing, surplus - differing, tuple(sample))


def _same(table: Table, alias: str) -> str:
    """That a row of ``alias`` has the key of the table's row ``t``."""
    return " AND ".join(f't."{name}" = {alias}."{name}"' for name in table.key)


def _not_among(table: Table, relation: str) -> str:
    """That the relation has no row with the key of the table's row ``t``."""
    return f"NOT EXISTS (SELECT FROM {relation} AS f WHERE {_same(table, 'f')})"
