"""Where tests and their servers write: into memory, where there is plenty of it.

Belongs here: choosing the directory. Does not: what is made in it. A disk's file system takes a
third of the CPU time of a whole run, most of it for copies of databases.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import psutil

_MEMORY = Path("/dev/shm")
_CGROUP = Path("/sys/fs/cgroup")
#: Bytes that a whole run leaves there at most, several times over; and those that it needs besides.
ROOM = 8 * 2**30
BESIDES = 6 * 2**30


def use_memory() -> None:
    """Make temporary files of this process and its children in memory, unless TMPDIR is set."""
    if "TMPDIR" not in os.environ and suits(_MEMORY):
        os.environ["TMPDIR"] = str(_MEMORY)
        tempfile.tempdir = None


def suits(directory: Path) -> bool:
    """Whether it is a memory file system that may take ROOM and leaves BESIDES."""
    kinds = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    if kinds.get(directory) != "tmpfs" or not os.access(directory, os.W_OK | os.X_OK):
        return False
    return shutil.disk_usage(directory).free >= ROOM and _available() >= ROOM + BESIDES


def _available() -> int:
    available = psutil.virtual_memory().available
    try:
        limit, used = (int((_CGROUP / f"memory.{what}").read_text()) for what in ("max", "current"))
        return min(available, limit - used)
    except (OSError, ValueError):  # none, or "max"
        return available
