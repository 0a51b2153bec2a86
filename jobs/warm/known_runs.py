"""The processes of runs that a run server has forked, on disk: its successor knows them, too.

Belongs here: one small file per run. Does not: starting and ending processes (``server.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Worker:
    """The process of a run; ``started`` (clock ticks since boot) tells it from a later one."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether the process runs, and is not one that merely has its number."""
        return started_at(self.pid) == self.started


def started_at(pid: int) -> int | None:
    """Clock ticks after boot at which the process began; None when it has ended.

    Fields 3 and 22 of /proc/[pid]/stat, proc(5): a zombie has ended.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


class KnownRuns:
    """The runs of a directory, by id."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def add(self, run_id: str, worker: Worker) -> None:
        """Note a run's process: complete or not at all."""
        path = self._path(run_id)
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps({"pid": worker.pid, "started": worker.started}), "ascii")
        scratch.replace(path)

    def get(self, run_id: str) -> Worker | None:
        """The run's process, alive or not; None for a run of others."""
        try:
            found = json.loads(self._path(run_id).read_text("ascii"))
            return Worker(int(found["pid"]), int(found["started"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self, run_id: str) -> None:
        """Forget a run."""
        with suppress(FileNotFoundError):
            self._path(run_id).unlink()

    def __iter__(self) -> Iterator[str]:
        """The ids."""
        return iter([path.stem for path in self._directory.glob("*.json")])

    def _path(self, run_id: str) -> Path:
        if not run_id or "/" in run_id or run_id.startswith("."):
            raise ValueError(f"no run id: {run_id!r}")
        return self._directory / f"{run_id}.json"
