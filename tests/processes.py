"""The environment, the working directory and the programs of tests: all are made here.

Belongs here: what a test sees of the machine, and every program that a test starts itself. Does
not: processes that run a function (``tests.forks``), servers and their variables
(``tests.servers``), a copy of the repository and the commands that users type there
(``tests.e2e.copied_tree``, which starts them here).

A checkout in which `make demo` has run has a ``.env``, and Dagster lets the one of the working
directory win over the process's environment: a test that started `dagster` in the repository wrote
into the demo's database, or failed when the demo had ended. So a test process keeps only ALLOWED of
its caller's variables and works in an empty directory, and so do the processes it starts, which
find the code by PYTHONPATH.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.dagster_processes import DagsterProcesses
from local.service import REPOSITORY

#: Of the caller's variables: where programs and data are, and how the tests themselves are run.
ALLOWED = frozenset({
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM", "CI",
    "QUINTET_DATA_DIR", "QUINTET_SERVERS_VENV", "QUINTET_TEST_STACK", "QUINTET_TEST_STACK_SHARED",
    "JAVA_HOME", "PUBSUB_EMULATOR_JAR",
})  # fmt: skip
_PATHS = frozenset({"QUINTET_DATA_DIR", "QUINTET_SERVERS_VENV", "QUINTET_TEST_STACK"})
_ALLOWED_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_")

#: pymilvus reads a `.env` when it is imported, from its own folder upwards: a checkout's, where the
#: virtual environment lies in it.
_OWN = {"PYTHONPATH": str(REPOSITORY), "PYTHON_DOTENV_DISABLED": "1"}

Process = subprocess.Popen
PIPE, DEVNULL, STDOUT = subprocess.PIPE, subprocess.DEVNULL, subprocess.STDOUT
BIN = Path(sys.executable).parent


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process gets that is to see only ``variables`` of quintet's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in ALLOWED or name.startswith(_ALLOWED_PREFIXES)
    }
    return {**kept, **_OWN, **(variables or {})}


def isolate() -> None:
    """Take the caller's variables from this process; fixtures add those of a test's servers."""
    clean = environment()
    for name in os.environ.keys() - clean.keys():
        del os.environ[name]
    os.environ.update(clean)
    for name in _PATHS & clean.keys():  # the working directory changes
        os.environ[name] = str(Path(clean[name]).absolute())
    # Where a shell has put the tests in the background it lets them ignore interrupts, and so
    # would every process that they start: none could be told to end.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, by default with this test's variables and in its directory."""
    return subprocess.run(
        command,
        env=dict(os.environ if env is None else env),
        cwd=_directory(cwd),
        stdin=DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def output_of(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120.0,
) -> str:
    """What a command prints that must succeed."""
    ended = run(command, env=env, cwd=cwd, timeout=timeout)
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-4_000:]}{ended.stderr[-4_000:]}"
    return ended.stdout


def start(
    command: Sequence[str | os.PathLike[str]],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    **options: Any,
) -> Process[Any]:
    """Start a process as ``run`` does; ``options`` are Popen's. The caller ends it."""
    return subprocess.Popen(
        command,
        env=dict(os.environ if env is None else env),
        cwd=_directory(cwd),
        **{"stdin": DEVNULL, **options},
    )


def dagster(
    logs: Path, *, env: Mapping[str, str] | None = None, **options: Any
) -> DagsterProcesses:
    """Daemon and webserver, not started yet, with this test's variables and ``env``.

    They work in ``logs``.
    """
    variables = {**os.environ, **(env or {})}
    return DagsterProcesses(env=variables, state=logs, cwd=_directory(logs), **options)


def _directory(cwd: Path | None) -> Path:
    """The directory of a process: this test's, else ``cwd``, which is never the checkout."""
    directory = (cwd or Path.cwd()).resolve()
    assert directory != REPOSITORY, "a process of a test would read the .env of the checkout"
    return directory
