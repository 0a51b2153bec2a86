"""Every table of the music pipeline, by name: what the audit checks and tests compare.

Belongs here: gathering the registry's modules. Does not: columns (``registry``), nor DDL
(``migrations``).
"""

from __future__ import annotations

from assets.frame.tables import Table
from assets.music.registry import gold, landing, lyrics, plays, silver

#: By name, without the schema.
TABLES: dict[str, Table] = {
    table.name: table
    for module in (landing, silver, lyrics, plays, gold)
    for table in module.TABLES
}


def written_by(asset: str) -> tuple[Table, ...]:
    """The tables that the asset of this name writes."""
    return tuple(one for one in TABLES.values() if one.asset == asset)
