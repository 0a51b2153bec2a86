"""A run in a forked process: what `dagster api execute_run` does, without its imports.

Belongs here: the child's side of the fork. Does not: when to fork (``server.py``).
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import Any, NoReturn

import dagster as dg

#: Held back from the fork until the child has handlers of its own.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def run_and_exit(run_id: str) -> NoReturn:
    """Execute the run, and end the process: with 1 when it failed."""
    code = 1
    try:
        _begin()
        code = _execute(run_id)
    except (KeyboardInterrupt, SystemExit):
        code = 130
    except BaseException:  # noqa: BLE001 - nobody above could be told
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: what the server would do at its exit is not this process's to do.
        os._exit(code)


def report_dead(run_id: str, words: str) -> None:
    """Tell Dagster that the run's process is gone, unless the run has ended."""
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, words)
        else:
            instance.report_run_failed(run, words)


def _begin() -> None:
    """What a process of its own would have of its own."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)
    random.seed()
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed()


def _execute(run_id: str) -> int:
    from dagster._cli.api import _execute_run_command_body
    from dagster._utils.interrupts import capture_interrupts

    def ignore(_: Any) -> None:
        return None

    with capture_interrupts(), dg.DagsterInstance.get() as instance:
        return _execute_run_command_body(
            run_id, instance, write_stream_fn=ignore, set_exit_code_on_failure=True
        )
