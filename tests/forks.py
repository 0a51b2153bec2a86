"""Processes forked from one that has imported what the code under test imports: no start-up.

Belongs here: that process, and asking it for another. Does not: what is imported (``preloaded``),
programs started by their command (``processes``), run servers, which import the code of another
folder (``integration.jobs.server_forks``).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any


class Fork:
    """A process that runs a function, in a session of its own."""

    def __init__(self, process: ForkServerProcess, written: Path) -> None:
        assert process.pid is not None
        self._process, self._written = process, written
        self.pid = process.pid

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 120.0) -> int:
        """Its exit code. Raises TimeoutError."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise TimeoutError(f"{self.pid} did not end in {timeout:.0f} s\n{self.output()}")
        return code

    def send_signal(self, number: int) -> None:
        """To it alone, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill -9 of it alone, and wait."""
        self.send_signal(signal.SIGKILL)
        self.wait()

    def kill_family(self) -> None:
        """Kill -9 of it and of what it has started in its session."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def output(self) -> str:
        """What it has written to stdout and stderr so far."""
        return self._written.read_text("utf-8", errors="replace")


@contextmanager
def forked(
    target: Callable[..., None],
    *arguments: Any,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Fork]:
    """A process that runs the function with this test's variables and ``env``.

    It works in ``cwd``, by default in this test's directory. With the block it ends, and so does
    what it has started in its session. The process that it is forked from is started once and has
    the variables of that moment.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    variables = {**os.environ, **(env or {})}
    with tempfile.NamedTemporaryFile(prefix="quintet-fork-") as file:
        told = (variables, str(cwd or Path.cwd()), file.name, target, arguments)
        # No daemon: those may have no processes of multiprocessing of their own.
        process = context.Process(target=_begin, args=told, daemon=False)
        process.start()
        fork = Fork(process, Path(file.name))
        try:
            yield fork
        finally:
            fork.kill_family()


def exit_code_of(
    target: Callable[..., None],
    *arguments: Any,
    env: Mapping[str, str] | None = None,
    timeout: float = 120.0,
) -> int:
    """Run the function in a process of its own; what that wrote is shown with a test that fails.

    Raises TimeoutError, with the process ended.
    """
    with forked(target, *arguments, env=env) as fork:
        try:
            return fork.wait(timeout)
        finally:
            print(fork.output())


def _begin(
    variables: dict[str, str],
    cwd: str,
    written: str,
    target: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    os.setsid()
    file = os.open(written, os.O_WRONLY | os.O_APPEND)
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        os.dup2(file, number)
        stream.reconfigure(line_buffering=True)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    target(*arguments)
