"""What a landing sensor keeps in Dagster's cursor between two ticks.

Belongs here: the text format. Does not: anything that may not be lost. A cursor that is missing or
unreadable means that the scan starts over, which the ledger makes harmless.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from landing.arrival.scan import Position


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one tick leaves to the next.

    ``unlocked`` says since when a run (``batch/run id``) has been without its lock; ``backlog`` is
    the backlog last reported, to report changes only; ``since_retry`` how many new batches were
    requested since the last that was tried again. Of another ``format`` nothing is taken.
    """

    position: Position = field(default_factory=Position)
    unlocked: Mapping[str, datetime] = field(default_factory=dict)
    backlog: str = ""
    since_retry: int = 0
    format: Literal[1] = 1

    def to_text(self) -> str:
        """JSON."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_text(cls, text: str | None) -> Cursor:
        """The cursor of :meth:`to_text`; an empty one when the text is anything else."""
        try:
            return msgspec.json.decode(text, type=cls) if text else cls()
        except (msgspec.MsgspecError, ValueError):
            return cls()
