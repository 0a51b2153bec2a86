"""No test sees its caller's variables, works in the checkout or starts a process itself."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.pipelines import defaults, required
from local.service import REPOSITORY
from tests import processes
from tests.servers import VARIABLES

TESTS = REPOSITORY / "tests"
#: The one place for programs, that for functions, and a program that is started there: what these
#: fork has the variables it is told.
OWN = {
    TESTS / "processes.py",
    TESTS / "forks.py",
    TESTS / "integration" / "jobs" / "server_forks.py",
}
MODULES = {"subprocess", "multiprocessing", "pty"}
#: Talks to a process, and starts none.
HARMLESS = {"multiprocessing.connection"}
FUNCTIONS = {
    "system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp", "ProcessPoolExecutor",
    "create_subprocess_exec", "create_subprocess_shell", "DagsterProcesses",
}  # fmt: skip


def process_starts(code: str) -> Iterator[str]:
    """Where a module could start a process, or would work on the checkout's own stack."""
    for node in ast.walk(ast.parse(code)):
        names: set[str] = set()
        if isinstance(node, ast.Import):
            names = MODULES & {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module not in HARMLESS:
            names = MODULES & {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            of = getattr(called.value, "id", "") if isinstance(called, ast.Attribute) else ""
            if name in FUNCTIONS or (of == "os" and name.startswith(("exec", "spawn"))):
                names = {name}
            elif name == "Stack" and not node.args and not node.keywords:
                names = {"Stack() of the checkout"}
        line = getattr(node, "lineno", 0)
        yield from (f"{line}: {name}" for name in sorted(names))


def test_no_test_starts_a_process_elsewhere():
    found = {
        str(path.relative_to(TESTS)): list(process_starts(path.read_text("utf-8")))
        for path in TESTS.rglob("*.py")
        if path not in OWN
    }
    assert len(found) > 150
    assert {path: starts for path, starts in found.items() if starts} == {}


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess",
        "from subprocess import run",
        "import multiprocessing.pool as p",
        "os.system('ls')",
        "os.execv('ls', [])",
        "os.spawnl(0, 'ls')",
        "def f():\n    from multiprocessing import Process",
        "asyncio.create_subprocess_shell('ls')",
        "DagsterProcesses(env={}, logs=logs)",
        "concurrent.futures.ProcessPoolExecutor()",
        "Stack().up()",
    ],
)
def test_what_the_guard_finds(code):
    assert len(list(process_starts(code))) == 1


def test_the_caller_s_variables_are_gone():
    assert not [name for name in ("POSTGRES_URL", "DAGSTER_HOME") if name in os.environ]
    assert {name for name in os.environ if name.startswith("QUINTET_")} <= processes.ALLOWED
    assert processes.ALLOWED.isdisjoint({*VARIABLES, *defaults(), *required()})


def test_a_process_gets_what_is_allowed_and_what_it_is_given(monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "hostile")
    code = "import os; print(*(f'{n}={v}' for n, v in os.environ.items()), sep='\\n')"
    given = processes.environment({"POSTGRES_URL": "mine"})
    printed = processes.output_of([sys.executable, "-c", code], env=given).splitlines()
    found = dict(line.split("=", 1) for line in printed)
    assert {name for name in found if name in VARIABLES} == {"POSTGRES_URL"}
    assert found["POSTGRES_URL"] == "mine"
    assert found["PATH"] == os.environ["PATH"]


def test_processes_work_elsewhere_and_find_the_code():
    assert list(Path.cwd().glob(".*")) == []
    code = "import os, definitions; print(os.getcwd(), definitions.__file__)"
    printed = processes.output_of([sys.executable, "-c", code])
    assert printed.split() == [str(Path.cwd()), str(REPOSITORY / "definitions.py")]


def test_the_checkout_is_refused():
    with pytest.raises(AssertionError, match=r"the \.env of the checkout"):
        processes.run(["true"], cwd=REPOSITORY)
    with pytest.raises(AssertionError, match=r"the \.env of the checkout"):
        processes.dagster(REPOSITORY)
