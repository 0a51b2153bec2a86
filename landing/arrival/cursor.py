"""What a landing sensor keeps in Dagster's cursor between two ticks.

Belongs here: the text format. Does not: anything that may not be lost. A cursor that is missing or
unreadable means that the scan starts over, which the ledger makes harmless.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from landing.arrival.scan import Position

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """What one tick leaves to the next.

    ``unlocked`` says since when a run (``batch/run id``) has been without its lock; ``backlog`` is
    the backlog last reported, to report changes only.
    """

    position: Position = field(default_factory=Position)
    unlocked: Mapping[str, datetime] = field(default_factory=dict)
    backlog: str = ""

    def to_text(self) -> str:
        """JSON with a format number."""
        return json.dumps(
            {
                "format": _FORMAT,
                "position": self.position.dump(),
                "unlocked": {run: since.isoformat() for run, since in self.unlocked.items()},
                "backlog": self.backlog,
            }
        )

    @classmethod
    def from_text(cls, text: str | None) -> Cursor:
        """The cursor of :meth:`to_text`; an empty one when the text is anything else."""
        try:
            data = json.loads(text) if text else None
            if not isinstance(data, dict) or data.get("format") != _FORMAT:
                return cls()
            return cls(
                position=Position.load(data["position"]),
                unlocked={
                    str(run): datetime.fromisoformat(since)
                    for run, since in data["unlocked"].items()
                },
                backlog=str(data["backlog"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
