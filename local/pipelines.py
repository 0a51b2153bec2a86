"""Which pipelines a command is about, and the servers of the stack that they need.

Belongs here: from a command's words to names. Does not: what a pipeline needs (its declaration).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from assets.pipelines import PIPELINES, declaration
from local.services import SERVICES


def selected(text: str | None) -> list[str]:
    """The pipelines of a list with commas, all when it is empty. Exits when it names another."""
    names = [name.strip() for name in (text or "").split(",") if name.strip()] or list(PIPELINES)
    unknown = [name for name in names if name not in PIPELINES]
    if unknown:
        sys.exit(f"Unknown pipeline: {', '.join(unknown)}. There are: {', '.join(PIPELINES)}.")
    return list(dict.fromkeys(names))


def needed_by(pipelines: Iterable[str]) -> list[str]:
    """The servers that these pipelines need, in the order of the stack's list."""
    needed = {server for pipeline in pipelines for server in declaration(pipeline).servers}
    return [name for name in SERVICES if name in needed]
