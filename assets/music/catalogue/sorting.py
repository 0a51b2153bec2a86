"""What lists of music may be sorted by.

Belongs here: from the name of a sort to columns. Does not: paging (``resources/keyset.py``).
"""

from __future__ import annotations

from dataclasses import replace

from resources.keyset import By


def sorted_by(name: str, columns: dict[str, By], key: By) -> tuple[By, ...]:
    """The order of that name, with ``-`` before it from the last to the first, and then the key's.

    The key goes the same way, so that a list whose values are all known is entered by an index.
    """
    down, asked = name.startswith("-"), name.removeprefix("-")
    key = replace(key, descending=down)
    if asked == key.column:
        return (key,)
    by = columns[asked]
    return (replace(by, descending=down), key)
