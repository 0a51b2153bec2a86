"""Whether the code of the repository is still what this process has imported.

Belongs here: a picture of the source files. Does not: what follows from a change (``server.py``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: What a run may import or read, below the repository.
_PACKAGES = ("assets", "jobs", "landing", "resources", "sensors")
_FILES = ("definitions.py", "pyproject.toml")

Picture = frozenset[tuple[str, int, int]]


def picture(root: Path) -> Picture:
    """Path, time of change and size of each source file; some milliseconds for a thousand."""
    return frozenset(_files(root))


def _files(root: Path) -> Iterator[tuple[str, int, int]]:
    for name in _FILES:
        path = root / name
        if path.exists():
            stat = path.stat()
            yield name, stat.st_mtime_ns, stat.st_size
    for package in _PACKAGES:
        yield from _below(str(root / package))


def _below(folder: str) -> Iterator[tuple[str, int, int]]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _below(entry.path)
        else:
            stat = entry.stat()
            yield entry.path, stat.st_mtime_ns, stat.st_size
