"""Every table of the music pipeline as one registry: what Dagster shows and the audit checks.

Belongs here: giving the registry out, as column schema and lineage. Does not: the tables' columns
(``registry``), the checks made of them (``checks``), nor DDL (``migrations``).
"""

from __future__ import annotations

import dagster as dg

from assets.frame.tables import Table
from assets.music.registry import gold, landing, lyrics, silver

#: By name, without the schema.
TABLES: dict[str, Table] = {
    table.name: table for table in (*landing.TABLES, *silver.TABLES, *lyrics.TABLES, *gold.TABLES)
}


def table(name: str) -> Table:
    """One table. Raises KeyError."""
    return TABLES[name]


def written_by(asset: str) -> tuple[Table, ...]:
    """The tables that the asset of this name writes."""
    return tuple(one for one in TABLES.values() if one.asset == asset)


def schema(name: str) -> dg.TableSchema:
    """The table as Dagster shows it: types, units, constraints. Raises KeyError."""
    return table(name).column_schema()


def lineage(name: str) -> dg.TableColumnLineage:
    """Where the table's values come from, column by column. Raises KeyError.

    Silver's point at columns of ``[music, bronze_records]``, gold's at columns of
    ``[music, silver_songs]``, which are those of ``fact_song``, and of ``[music, song_lyrics]``.
    """
    return table(name).column_lineage()
