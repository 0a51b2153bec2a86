"""What the statements of silver are made of: the registry's columns, and digests.

Belongs here: pieces of SQL that several steps share. Does not: the columns
(``assets.music.registry``), which record gives a value (``precedence.py``), the statements.
"""

from __future__ import annotations

from collections.abc import Sequence

from assets.music.registry.bronze import AUDIO
from assets.music.registry.silver import FACT_SONG, SONG_SOURCE, UNKNOWN_KEY

#: Columns of music.song_source, those that are none of its keys, and those that hold JSON.
SOURCE = SONG_SOURCE.names
SAID = tuple(name for name in SOURCE if name not in {"record_key", "song_key", "own_key"})
JSON = frozenset(column.name for column in SONG_SOURCE.columns if column.type == "jsonb")
FEATURES = tuple(column.name for column in AUDIO)
#: Columns of music.fact_song that its ``row_hash`` is made of: all others.
FACT = tuple(name for name in FACT_SONG.names if name != "row_hash")
#: The key of the unknown member of a dimension, as SQL. Temporary tables have null instead.
UNKNOWN = f"'{UNKNOWN_KEY}'"


def listed(names: Sequence[str], alias: str = "") -> str:
    """``a.x, a.y`` for a statement."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + name for name in names)


def digest(text: str) -> str:
    """SQL for 32 hex digits of the SHA-256 of a text."""
    return f"left(encode(sha256(convert_to({text}, 'UTF8')), 'hex'), 32)"


def fact_hash(alias: str, **instead: str) -> str:
    """SQL for ``row_hash`` of a row that has the columns of FACT, or other values ``instead``."""
    values = (instead.get(name, f"{alias}.{name}") for name in FACT)
    return digest(f"ROW({', '.join(values)})::text")
