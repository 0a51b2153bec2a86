"""Peak memory of one campaigns run by the size of its file.

The run as the sensor asks for it (a large file has a process per step), on servers of its own,
less that of a run on a file with only a header: of its largest process, and of all its processes
together, shared pages counted once (the sum of their proportional set sizes, sampled). Rows carry
long messages (``--message-characters``), so that a gigabyte is not days of upserts on the
stand-ins. Run:

    python -m benchmarks.memory [--megabytes 0 100 1000] [--stack DIRECTORY]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.campaigns import SERVICES, environment, pipeline
from local.stack import Stack
from samples.campaigns import Shape
from samples.campaigns import write as write_sample
from tests.servers import start

MEGABYTE = 1_000_000
#: Bytes of a row without its message, about.
ROW_BYTES = 110
SAMPLE_SECONDS = 0.2


@dataclass
class Peak:
    """KiB: the largest process by what it was doing, and the largest sum."""

    together: int = 0
    processes: dict[str, int] = field(default_factory=dict)

    @property
    def largest(self) -> int:
        """Of any one process."""
        return max(self.processes.values(), default=0)


class Sampler(threading.Thread):
    """Watches the descendants of this process that run the job, until stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = Peak()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sample until :meth:`stop`."""
        while not self._stopped.wait(SAMPLE_SECONDS):
            sizes = {pid: (proportional(pid), resident(pid)) for pid in runs_processes()}
            self.peak.together = max(self.peak.together, sum(pss for pss, _ in sizes.values()))
            for pid, (_, largest) in sizes.items():
                name = str(pid)
                self.peak.processes[name] = max(self.peak.processes.get(name, 0), largest)

    def stop(self) -> Peak:
        """The peaks."""
        self._stopped.set()
        self.join()
        return self.peak


def runs_processes() -> list[int]:
    """The process that runs the job, and all below it."""
    parents: dict[int, int] = {}
    roots = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parents[int(entry.name)] = int(
                (entry / "stat").read_text().rpartition(")")[2].split()[1]
            )
            if b"--run-batch" in (entry / "cmdline").read_bytes():
                roots.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def proportional(pid: int) -> int:
    """KiB of the process, shared pages divided by those who share them; 0 when it has ended."""
    return _kibibytes(f"/proc/{pid}/smaps_rollup", "Pss:")


def resident(pid: int) -> int:
    """KiB of its largest resident set so far; 0 when it has ended."""
    return _kibibytes(f"/proc/{pid}/status", "VmHWM:")


def _kibibytes(path: str, field_name: str) -> int:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(field_name):
                return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return 0


def measure(stack: Stack, megabytes: int, characters: int, log: Path) -> tuple[int, float, Peak]:
    """Rows, seconds and peaks of the run of one file."""
    rows = megabytes * MEGABYTE // (ROW_BYTES + int(0.9 * characters))
    with environment(stack) as folder:
        file = folder / "events.csv"
        write_sample(file, Shape(rows=rows, message_characters=characters), seed=1)
        sampler, started = Sampler(), time.monotonic()
        sampler.start()
        pipeline(file, "events.csv", log)
        return rows, time.monotonic() - started, sampler.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[0, 100, 1_000])
    parser.add_argument("--message-characters", type=int, default=20_000)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-memory-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(arguments.stack or scratch / "stack")
    first: Peak | None = None
    try:
        start(stack, SERVICES)
        for megabytes in arguments.megabytes:
            rows, seconds, peak = measure(
                stack, megabytes, arguments.message_characters, scratch / "run.log"
            )
            first = first or peak
            print(
                f"{megabytes:6,} MB {rows:8,} rows {seconds:7.1f} s {len(peak.processes)} processes"
                f"   largest {_mib(peak.largest, first.largest)}"
                f"   together {_mib(peak.together, first.together)}",
                flush=True,
            )
    except BaseException:
        if (scratch / "run.log").exists():
            print((scratch / "run.log").read_text()[-5_000:], file=sys.stderr)
        raise
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


def _mib(kibibytes: int, base: int) -> str:
    return f"{kibibytes / 1024:5.0f} MiB ({(kibibytes - base) / 1024:+.0f})"


if __name__ == "__main__":
    main()
