"""Which index a Milvus collection's vectors have: as a setting says, and by their number.

Belongs here: reading the setting, the choice. Does not: creating one (``milvus.py``).
Sources: https://milvus.io/docs/flat.md, https://milvus.io/docs/hnsw.md
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

#: FLAT compares with every vector: it is exact, costs nothing to build, and takes a millisecond for
#: each 10,000 vectors of 1,024 numbers.
MANY = 100_000
_KINDS = ("auto", "FLAT", "HNSW", "AUTOINDEX")
_HNSW = {"M": 16, "efConstruction": 200}
_PART = re.compile(r"(from|M|efConstruction)=([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Index:
    """``auto`` is FLAT for fewer than ``many`` vectors, and HNSW from then on."""

    kind: str = "auto"
    many: int = MANY
    params: Mapping[str, int] = field(default_factory=lambda: dict(_HNSW))

    @classmethod
    def parse(cls, text: str) -> Index:
        """As the setting spells it: ``auto``, ``auto from=50000 M=32``, ``FLAT``, ``HNSW M=32``.

        Raises ValueError for anything else.
        """
        kind, *parts = text.split() or ["auto"]
        found = [_PART.fullmatch(part) for part in parts]
        if kind not in _KINDS or not all(found) or (parts and kind not in {"auto", "HNSW"}):
            raise ValueError(
                f"MILVUS_INDEX is {text!r}, not one of {', '.join(_KINDS)}; HNSW and auto may be"
                " followed by M=… and efConstruction=…, auto by from=…"
            )
        told = {match[1]: int(match[2]) for match in found if match}
        return cls(kind, told.pop("from", MANY), {**_HNSW, **told})

    def of(self, rows: int) -> tuple[str, Mapping[str, int]]:
        """The kind of index for so many vectors, and its parameters."""
        kind = self.kind
        if kind == "auto":
            kind = "FLAT" if rows < self.many else "HNSW"
        return kind, self.params if kind == "HNSW" else {}
