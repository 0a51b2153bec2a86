"""Lines for whoever waits at the terminal, each with the time since the command began.

Belongs here: how they look. Does not: what is said (its callers), the ``Makefile``'s lines.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """``say`` prints a line with the seconds since this was made."""

    began: float = field(default_factory=time.monotonic)

    def say(self, line: str) -> None:
        """Print one line."""
        # A terminal that was closed, or `| head`, must not end what is being started or stopped.
        with contextlib.suppress(OSError):
            print(f"[{time.monotonic() - self.began:6.1f} s] {line}", flush=True)


def counted(number: int, noun: str, plural: str = "") -> str:
    """``1 batch``, ``2 batches``: the number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def leave_quietly() -> int:
    """An exit code of 0 when nobody reads the output any more, and no word about what is left."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    return 0
