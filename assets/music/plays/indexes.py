"""Indexes of ``fact_play`` while a large first load fills it.

Belongs here: taking them away and making them again within the load's transaction. Does not: any
row.

Two indexes by ids in no order cost several times the rows themselves, one by one; made at the end
they are sorted. Nobody but the load sees the table without them, and a load that fails leaves them
as they were. The table is locked until the commit, which costs nobody anything: it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

#: Pairs from which a first load is worth the lock.
MANY = 50_000

_EMPTY_AND_OWNED = """
SELECT pg_has_role(relowner, 'USAGE') AND NOT EXISTS (SELECT FROM music.fact_play)
FROM pg_class WHERE oid = 'music.fact_play'::regclass
"""
_INDEXES = """
SELECT CASE WHEN k.oid IS NULL THEN format('DROP INDEX music.%I', c.relname)
        ELSE format('ALTER TABLE music.fact_play DROP CONSTRAINT %I', k.conname) END,
    CASE WHEN k.oid IS NULL THEN pg_get_indexdef(c.oid)
        ELSE format('ALTER TABLE music.fact_play ADD CONSTRAINT %I %s', k.conname,
            pg_get_constraintdef(k.oid)) END
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint AS k ON k.conindid = c.oid AND k.contype = 'p'
WHERE i.indrelid = 'music.fact_play'::regclass
ORDER BY c.relname
"""


def take_away(conn: psycopg.Connection[Any], pairs: int) -> Sequence[str]:
    """Drop the indexes of the empty table before so many rows; the statements that make them.

    None are dropped of a table that has rows, or that the role does not own.
    """
    if pairs < MANY or conn.execute(_EMPTY_AND_OWNED).fetchone() != (True,):
        return ()
    indexes = conn.execute(_INDEXES).fetchall()
    for drop, _ in indexes:
        conn.execute(drop)
    return [made for _, made in indexes]


def bring_back(conn: psycopg.Connection[Any], statements: Sequence[str]) -> None:
    """Make the indexes again."""
    if statements:
        conn.execute("SET LOCAL maintenance_work_mem = '128MB'")
    for statement in statements:
        conn.execute(statement)
