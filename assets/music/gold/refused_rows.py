"""Gold rows that Postgres refuses, found by their keys while all others are brought up to date.

Belongs here: the table key by key, and where a refused row comes from. Does not: the replacement of
a table that takes every row (``replacement.py``), splitting (``assets/sinks/isolating.py``).

A gold row is of no row of a batch. What is refused is the row of one key: what the table said of it
before stays, and it is tried again by every batch that touches the key, and of a table that is
replaced as a whole by every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assets.music.gold.targets import Target
from assets.music.registry.gold import SONG_DETAILS
from assets.sinks.isolating import Isolating
from assets.sinks.postgres import refusal
from assets.sinks.postgres_replacing import reconcile

if TYPE_CHECKING:
    import psycopg

_PIECE = "pg_temp.gold_piece"


@dataclass(slots=True)
class Pieces:
    """A table brought to what silver says, some keys at a time."""

    conn: psycopg.Connection[Any]
    target: Target
    computed: int = 0
    deleted: int = 0
    updated: int = 0
    inserted: int = 0
    #: What Postgres says of the rows that it refuses, by key as the recount names it.
    refused: dict[str, str] = field(default_factory=dict)

    def replace(self, keys: Sequence[str]) -> None:
        """Bring these keys up to date, without those that Postgres refuses while it takes others.

        Raises psycopg.Error.
        """
        self.conn.execute(f'CREATE TEMPORARY TABLE {_PIECE} (key text COLLATE "C" PRIMARY KEY)')
        isolating: Isolating[Sequence[str]] = Isolating(
            refusal, lambda key, said: self.refused.update({key[0]: said})
        )
        isolating.write(keys, self._replace)
        isolating.settle()
        self.conn.execute(f"DROP TABLE {_PIECE}")

    def _replace(self, keys: Sequence[str]) -> None:
        conn, target = self.conn, self.target
        with conn.transaction():
            conn.execute(f"TRUNCATE {_PIECE}")
            conn.execute(f"INSERT INTO {_PIECE} SELECT unnest(%s::text[])", (list(keys),))
            conn.execute(f"ANALYZE {_PIECE}")
            rows = target.rows_within(_PIECE)
            computed = conn.execute(f"CREATE TEMPORARY TABLE gold_fresh AS {rows}").rowcount
            within = f"{target.key} IN (SELECT key FROM {_PIECE})"
            done = reconcile(conn, target.table, "pg_temp.gold_fresh", within=within)
            conn.execute("DROP TABLE pg_temp.gold_fresh")
        self.computed += computed
        self.deleted, self.updated, self.inserted = (
            so_far + now
            for so_far, now in zip((self.deleted, self.updated, self.inserted), done, strict=True)
        )


def tell(
    conn: psycopg.Connection[Any],
    target: Target,
    refused: Mapping[str, str],
    refuse: Callable[[str, str, tuple[str | None, int | None]], None],
) -> None:
    """Tell ``refuse`` of each row: its key, the words, and where its song's best record is from.

    What sums up many songs is of no single record.
    """
    places = {}
    if target.table is SONG_DETAILS:
        cursor = conn.execute(
            "SELECT s.song_key, r.source, r.line FROM music.fact_song AS s"
            " JOIN music.song_source AS r ON r.record_key = s.base_source"
            " WHERE s.song_key = ANY(%s)",
            (list(refused),),
        )
        places = {key: (source, line) for key, source, line in cursor}
    for key, said in refused.items():
        refuse(key, said, places.get(key, (None, None)))
