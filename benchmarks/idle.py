"""What an idle stack costs: CPU and memory of every process, with all pipelines and nothing to do.

Servers, run server, daemon and webserver as ``make dev`` starts them, with whatever they start
themselves (code servers, the streaming session). After the first minutes, in which all sensors have
looked, CPU time is counted for some minutes more, that of processes which ended meanwhile included.
Run:

    python -m benchmarks.idle [--settle 120] [--seconds 300]

Our processes are Dagster's and the run server's; the embedded servers stand beside them, for in
production others pay for those. Memory is the proportional share (PSS), which counts a page once
however many processes share it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from local.dagster_processes import DagsterProcesses, forked_runs, run_workers
from local.pipelines import needed_by, selected
from local.stack import Stack
from resources.environment import DAGSTER_VARIABLES
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
GOAL = 0.1


@dataclass
class Cost:
    """Of the processes of one kind: CPU seconds so far, bytes, how many there are."""

    cpu: float = 0.0
    memory: int = 0
    processes: int = 0


def costs(dagster: DagsterProcesses, stack: Stack) -> dict[str, Cost]:
    """By kind; each ``cpu`` only grows, as long as parents wait for what they started."""
    found: dict[str, Cost] = defaultdict(Cost)
    for kind, one in _kinds(dagster, stack):
        try:
            times = one.cpu_times()
            memory = one.memory_full_info().pss
        except psutil.Error:
            continue
        cost = found[kind]
        cost.cpu += times.user + times.system + times.children_user + times.children_system
        cost.memory += memory
        cost.processes += 1
    return found


def _kinds(dagster: DagsterProcesses, stack: Stack) -> Iterator[tuple[str, psutil.Process]]:
    for name, pid in dagster.pids().items():
        first = psutil.Process(pid)
        family = first.children(recursive=True)
        runs = {*run_workers(family), *forked_runs(family)}
        yield name, first
        for one in family:
            yield ("a run" if one in runs else f"{name}: started by it"), one
    for status in stack.status():
        if status.pid:
            first = psutil.Process(status.pid)
            for one in [first, *first.children(recursive=True)]:
                yield f"server {status.service}", one


def report(before: dict[str, Cost], after: dict[str, Cost], seconds: float) -> None:
    """Cores, CPU seconds an hour and memory of each kind, ours in sum."""
    print(
        f"\n{seconds:.0f} s, {os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}\n"
        f"  {'':<28}{'cores':>8}{'CPU-s/h':>10}{'MiB':>8}{'processes':>11}"
    )
    total = Cost()
    ours = 0.0
    for kind in sorted(after, key=lambda kind: (kind.startswith("server "), kind)):
        cost = after[kind]
        used = (cost.cpu - before.get(kind, Cost()).cpu) / seconds
        if not kind.startswith("server "):
            ours += used
            total.memory += cost.memory
            total.processes += cost.processes
        print(
            f"  {kind:<28}{used:8.3f}{used * 3600:10.0f}{cost.memory / 2**20:8.0f}"
            f"{cost.processes:11}"
        )
    print(
        f"  {'ours':<28}{ours:8.3f}{ours * 3600:10.0f}{total.memory / 2**20:8.0f}"
        f"{total.processes:11}\n  goal: ours ≤ {GOAL} cores"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settle", type=float, default=120.0, help="seconds before the count")
    parser.add_argument("--seconds", type=float, default=300.0, help="of the count")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="quintet-idle-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(scratch / "stack")
    names = needed_by(selected(""))
    try:
        start(stack, names)
        (scratch / "home").mkdir()
        with isolated_environment(stack, names, scratch / "home") as variables:
            env = {**os.environ, **DAGSTER_VARIABLES, **variables, "PYTHONPATH": str(ROOT)}
            # Not in the repository, whose .env would win over these variables.
            dagster = DagsterProcesses(env, scratch / "dagster", scratch)
            dagster.start()
            try:
                dagster.wait_ready()
                time.sleep(arguments.settle)
                before, began = costs(dagster, stack), time.monotonic()
                time.sleep(arguments.seconds)
                dagster.check_alive()
                report(before, costs(dagster, stack), time.monotonic() - began)
            finally:
                dagster.stop()
    finally:
        stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
