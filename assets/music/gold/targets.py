"""Which gold tables there are, and the SQL of each.

Belongs here: naming the ``.sql`` files beside this module. Does not: running them
(``replacement.py``), columns (``assets.music.registry``).

``<table>.sql`` selects all rows as they should be; a comment ``/* in scope: key */`` marks where it
is narrowed to the keys of a table. ``<table>.scope.sql`` selects the keys whose rows batches may
have changed; of a table that is always replaced as a whole, every key of silver.
``<table>.recount.sql`` selects key and problem (missing, differing, unexpected) of rows that are
not as silver says, by another way of counting. A key of several columns is their values, joined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from assets.frame.tables import Table
from assets.music.registry import gold
from assets.music.registry.silver import UNKNOWN_KEY

_SQL = Path(__file__).parent / "sql"
_MARK = re.compile(r"/\* in scope: (.+?) \*/")


@dataclass(frozen=True, slots=True)
class Target:
    """One gold table.

    ``population`` is the silver table with a row per possible key, perhaps beside the unknown
    member's; None for a table that is always replaced as a whole. ``announces`` says
    that what it shows anew counts as touched.
    """

    table: Table
    population: str | None = None
    announces: str | None = None

    @property
    def rows(self) -> str:
        """All rows as they should be."""
        return self._read("sql")

    @property
    def rows_in_scope(self) -> str:
        """The rows of the keys in ``pg_temp.gold_scope``."""
        return self.rows_within("pg_temp.gold_scope")

    def rows_within(self, keys: str) -> str:
        """The rows of the keys that the table ``keys`` has, in its column ``key``."""

        # All places are in queries of their own, so that one alias will do.
        def narrowed(mark: re.Match[str]) -> str:
            return f"JOIN {keys} AS scope ON scope.key = {mark[1]}"

        return _MARK.sub(narrowed, self._read("sql"))

    @property
    def key(self) -> str:
        """A row's key as one text."""
        columns = ", ".join(f'"{name}"' for name in self.table.key)
        return columns if len(self.table.key) == 1 else f"concat_ws(' ', {columns})"

    @property
    def scope(self) -> str:
        """The keys that some batches, bound as ``batches``, may have changed."""
        return self._read("scope.sql")

    @property
    def possible(self) -> str | None:
        """The keys that silver has rows of, if it has one of each."""
        if self.population is None:
            return None
        key = self.table.key[0]
        return f"SELECT {key} FROM music.{self.population} WHERE {key} <> '{UNKNOWN_KEY}'"

    @property
    def keys(self) -> str:
        """Every key that the table should have or has."""
        every = self.possible or self.scope
        return f"SELECT {self.key} AS key FROM {self.table.qualified} UNION {every}"

    @property
    def recount(self) -> str:
        """Rows that are not as silver says: key, problem."""
        return self._read("recount.sql")

    def _read(self, suffix: str) -> str:
        return (_SQL / f"{self.table.name}.{suffix}").read_text(encoding="utf-8")


_POPULATIONS = {
    "song_details": "fact_song",
    "artist_performance": "dim_artist",
    "album_performance": "dim_album",
    "song_plays": "fact_song",
    "artist_plays": "dim_artist",
}

TARGETS = {
    table.name: Target(
        table, _POPULATIONS.get(table.name), "song" if table is gold.SONG_DETAILS else None
    )
    for table in gold.TABLES
}
