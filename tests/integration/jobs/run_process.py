"""Run processes for tests: started, waited for, and always ended with all their children."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from tests.forks import Fork, forked
from tests.integration.jobs.guarded_jobs import execute


@contextlib.contextmanager
def run_process(
    job: str, *, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
) -> Iterator[Fork]:
    """A process that executes one of ``guarded_jobs``, with this test's environment."""
    # Dagster's tables are made by the first who comes; two processes at once would race to.
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
    with forked(execute, job, dict(config or {}), dict(tags or {})) as process:
        yield process


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
