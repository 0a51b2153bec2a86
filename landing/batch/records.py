"""The tables of current records, and of what batches replaced in them.

``<pipeline>.record`` and ``.replaced``, or ``.<kind>_record`` and ``.<kind>_replaced`` where a
pipeline has several kinds. Belongs here: their names, making them, what a record is ordered by,
reading them. Does not: which rows become records (``winners.py``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from landing.arrival.identity import ObjectVersion

if TYPE_CHECKING:
    import polars as pl
    import psycopg

#: What a record is ordered by, as the newest version that says what it says.
ORDER = ("order_at", "order_seq", "said_seq")
_IDENTITY = ("store", "bucket", "key", "version", "size", "modified_at")

_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True, slots=True)
class RecordTable:
    """``<pipeline>.record``: key, event_time, seq, row_hash, batch_id and the attribute columns.

    ``batch_id`` is the batch that owns it, whose staging has its row, and ``seq`` the object
    version of that row. It is ordered by (``order_at``, ``order_seq``, ``said_seq``): as the newest
    version that says the same, or as landing.said_again has it of all records of batch and version.

    ``kind`` sets a pipeline's records apart that have keys of their own; empty for the only ones.
    ``by_object`` where each record belongs to the object that tells of it: see ``origins.py``.
    """

    pipeline: str
    attributes: tuple[str, ...]
    kind: str = ""
    by_object: bool = False

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
    def withdrawn(self) -> str:
        """The table of what objects no longer hold, by the batch that found it; if by object."""
        return f"{self.pipeline}.{self._prefix}withdrawn"

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
    if table.by_object:
        conn.execute(
            f"""
            CREATE TABLE IF NOT EXISTS {table.withdrawn} (
                batch_id text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
                PRIMARY KEY (batch_id, key))
            """
        )


def order_of(of: str) -> str:
    """The columns of an order, of the table ``of``."""
    return ", ".join(f"{of}.{name}" for name in ORDER)


def newest_of(of: str, other: str, where: str = "true") -> str:
    """The later of two orders, as three columns; ``other`` may be null."""
    later = f"{where} AND ({order_of(other)}) > ({order_of(of)})"
    return ", ".join(
        f"CASE WHEN {later} THEN {other}.{name} ELSE {of}.{name} END AS {name}" for name in ORDER
    )


def current_of(table: RecordTable) -> str:
    """The current records with what they are ordered by."""
    return f"""(
        SELECT o.key, o.row_hash, o.batch_id, o.seq, {newest_of("o", "a")}
        FROM {table.record} o LEFT JOIN landing.said_again a USING (batch_id, seq))"""


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
        JOIN {current_of(table)} r USING (key)
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
