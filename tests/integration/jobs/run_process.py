"""Run processes for tests: started, waited for, and always ended with all their children."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from tests import processes


@contextlib.contextmanager
def run_process(
    job: str, *, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[processes.Process[bytes]]:
    """A process that executes one of ``guarded_jobs``, with this test's environment."""
    # Dagster's tables are made by the first who comes; two processes at once would race to.
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
    process = processes.start(
        [
            sys.executable,
            "-m",
            "tests.integration.jobs.guarded_jobs",
            job,
            json.dumps(config or {}),
            json.dumps(dict(tags or {})),
        ],
        start_new_session=True,
        stdout=processes.PIPE,
        stderr=processes.STDOUT,
    )
    try:
        yield process
    finally:
        kill(process)


def kill(process: processes.Process[bytes]) -> None:
    """Kill -9 of the process and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What ``condition`` returns as soon as it is true. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"not within {seconds} s")


def started_run(instance: dg.DagsterInstance, mark: str) -> dg.DagsterRun:
    """The run with the tag ``test=mark``, once its step is at work."""

    def at_work() -> dg.DagsterRun | None:
        for run in instance.get_runs(dg.RunsFilter(tags={"test": mark})):
            if any(
                event.dagster_event and event.dagster_event.is_step_start
                for event in instance.all_logs(run.run_id)
            ):
                return run
        return None

    return wait_until(at_work)
