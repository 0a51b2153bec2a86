"""A run that is killed with -9 at a named point.

Belongs here: the process that runs into a point, and the ways to die there. Does not: the points of
a pipeline (``campaign_kills``, ``music_kills``). Product code has no hooks: its functions are
replaced in that process only, which is forked from a clean one (``tests.forks``).
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from tests.faults.batch_runs import PipelineRuns
from tests.forks import exit_code_of


def run_until_killed(
    env: Mapping[str, str], pipeline: PipelineRuns, request: dg.RunRequest, point: str, *, of: str
) -> int:
    """Run the request in a process of its own up to the point; the process's exit code.

    ``of`` is the module whose POINTS has the point.
    """
    return exit_code_of(_child, pipeline, request, point, of, env=env)


def _child(pipeline: PipelineRuns, request: dg.RunRequest, point: str, of: str) -> None:
    importlib.import_module(of).POINTS[point]()
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline.add_partition(instance, request)
        pipeline.execute(instance, request)


def die() -> None:
    """As a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put what ``make`` makes of the original in its place, in this process."""
    setattr(owner, name, make(getattr(owner, name)))


def die_after(owner: Any, name: str, *, call: int = 1) -> None:
    """Die when the function has returned for the n-th time."""
    calls = [0]

    def make(original: Any) -> Any:
        def dying(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            calls[0] += 1
            if calls[0] == call:
                die()
            return result

        return dying

    replace(owner, name, make)
