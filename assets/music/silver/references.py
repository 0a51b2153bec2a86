"""Foreign keys of the star schema while a large first load fills it.

Belongs here: taking them away and putting them back within the load's transaction. Does not: any
row.

Checking references row by row takes a third of a first load; adding a constraint checks all rows
at once. Nobody but the load sees the tables without them, and a load that fails leaves them as they
were. The tables are locked until the commit, which costs nobody anything: they are empty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

#: Records from which a first load is worth the locks.
MANY = 50_000

_TABLES = (
    "fact_song",
    "bridge_song_artist",
    "bridge_album_artist",
    "bridge_artist_term",
    "bridge_song_genre",
    "bridge_song_tag",
    "bridge_song_similar",
    "song_lyrics",
)
_OWNED = """
SELECT bool_and(pg_has_role(relowner, 'USAGE'))
FROM pg_class WHERE relnamespace = 'music'::regnamespace AND relname = ANY (%s)
"""
_FOREIGN_KEYS = """
SELECT relname, quote_ident(conname), pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN pg_class t ON t.oid = conrelid
WHERE contype = 'f' AND relnamespace = 'music'::regnamespace AND relname = ANY (%s)
ORDER BY relname, conname
"""


def take_away(conn: psycopg.Connection[Any]) -> list[str]:
    """Drop the foreign keys; the statements that bring them back. None of those of others' tables.

    A role that does not own the tables keeps them.
    """
    owned = conn.execute(_OWNED, (list(_TABLES),)).fetchone()
    if not owned or not owned[0]:
        return []
    keys = conn.execute(_FOREIGN_KEYS, (list(_TABLES),)).fetchall()
    for table, name, _ in keys:
        conn.execute(f"ALTER TABLE music.{table} DROP CONSTRAINT {name}")
    return [
        f"ALTER TABLE music.{table} ADD CONSTRAINT {name} {definition}"
        for table, name, definition in keys
    ]


def bring_back(conn: psycopg.Connection[Any], statements: list[str]) -> None:
    """Add the foreign keys, which checks every row. Raises psycopg.errors.ForeignKeyViolation."""
    for statement in statements:
        conn.execute(statement)
