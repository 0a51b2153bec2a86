"""Run servers forked from one process that has imported their libraries: each is up in a second.

Belongs here: that process, and asking it. Does not: what a run server does (``jobs.warm``), which
imports for itself whatever is not there yet. A server that is started by its command is another
test's (``test_warm_runs.py``, where one starts over).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from tests import processes


class ServerForks:
    """Asks the process, which has begun to import."""

    def __init__(self, process: processes.Process[str]) -> None:
        self._process = process

    def start(self, root: Path, log: Path, env: Mapping[str, str]) -> psutil.Process:
        """A server for the code below ``root``, in a session of its own. The caller ends it."""
        told = {"root": str(root), "log": str(log), "cwd": str(Path.cwd()), "env": dict(env)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return psutil.Process(int(self._process.stdout.readline()))


@contextlib.contextmanager
def server_forks(log: Path) -> Iterator[ServerForks]:
    """The process, ended behind the last test; what it forked is the tests'."""
    with (
        log.open("ab") as errors,
        processes.start(
            [sys.executable, "-m", __name__],
            stdin=processes.PIPE, stdout=processes.PIPE, stderr=errors, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            yield ServerForks(process)
        finally:
            process.kill()


def _fork_servers() -> None:
    from jobs.warm import preloading

    preloading.import_libraries()
    preloading.require_alone()
    # Servers are collected by nobody here: the system does.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        told = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = _serve(**told)
            except BaseException:  # noqa: BLE001 - what stands above is the parent's
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        print(pid, flush=True)


def _serve(root: str, log: str, cwd: str, env: dict[str, str]) -> int:
    """Become ``python -m jobs.warm.server ROOT``, as if started with these variables."""
    from jobs.warm import server

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, written), (2, written)):
        os.dup2(opened, number)
    sys.path.insert(0, root)
    sys.argv = ["jobs.warm.server", root]
    return server.main([root])


if __name__ == "__main__":
    _fork_servers()
