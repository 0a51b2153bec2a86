"""Fixtures that give a test the servers it asks for, and an environment of its own.

    @pytest.mark.servers("postgres", "gcs")
    def test_scan(env: dict[str, str]) -> None:
        with psycopg.connect(env["POSTGRES_URL"]) as connection: ...

Only the named servers are started (those of ``local.services``), once per session, also
under ``pytest -n``: the controlling process owns the stack, its workers share it.
``env`` holds every variable of the named servers with databases, buckets, collections and a key
made for this test; they are in ``os.environ`` too, and no others of quintet's: neither the caller's
(`tests.processes`) nor those of other servers. The working directory is empty.
``openai_admin`` sets faults and reads counters, ``stack`` is the shared stack (never stop a
server of it), ``QUINTET_TEST_STACK=directory`` reuses a stack and leaves it running.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

from local.stack import Stack
from tests import processes, scratch
from tests.servers import VARIABLES, OpenAIAdmin, isolated_environment, start

#: Set by the controlling process, inherited by the workers.
_SHARED = "QUINTET_TEST_STACK_SHARED"
_PREFIX = "quintet-tests-"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _owner_lives(root: Path) -> bool:
    """Directories are named after the process that owns them, and its start time."""
    try:
        pid, started = root.name.removeprefix(_PREFIX).split("-")
        return int(psutil.Process(int(pid)).create_time()) == int(started)
    except (ValueError, psutil.NoSuchProcess):
        return False


def _discard(root: Path) -> None:
    if root.exists():
        Stack(root).reset()
        shutil.rmtree(root)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    scratch.use_memory()
    processes.isolate()
    # What an example takes says how busy the machine is.
    hypothesis.settings.register_profile(
        "untimed",
        parent=hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("untimed")
    if _is_worker(config) or os.environ.get("QUINTET_TEST_STACK"):
        return
    directory = Path(tempfile.gettempdir())
    for left in directory.glob(f"{_PREFIX}*"):
        # A session that was killed: its servers are still there.
        if not _owner_lives(left):
            # Another session that starts now removes the same.
            with contextlib.suppress(FileNotFoundError):
                _discard(left)
    me = psutil.Process()
    os.environ[_SHARED] = str(directory / f"{_PREFIX}{me.pid}-{int(me.create_time())}")


def pytest_unconfigure(config: pytest.Config) -> None:
    # After the workers have ended.
    shared = os.environ.get(_SHARED)
    if not _is_worker(config) and shared and not os.environ.get("QUINTET_TEST_STACK"):
        _discard(Path(shared))
        del os.environ[_SHARED]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A file's fixtures are made once; xdist_group says which files never run side by side: those
    # that start a daemon, as many processes as a worker's share; those that share a broker; those
    # with sessions, since the BigQuery server holds few open streams at once.
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))


@pytest.fixture(scope="session", autouse=True)
def _directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty working directory: the checkout's has a ``.env``, if a demo ran there."""
    with contextlib.chdir(tmp_path_factory.mktemp("cwd")):
        yield


@contextlib.contextmanager
def _variables_kept() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def _variables() -> Iterator[None]:
    """A test starts without variables of quintet's, whatever ran before it in this process.

    What code under test sets (a ``.env`` read, defaults) ends with the test.
    """
    with _variables_kept():
        processes.isolate()
        yield


@pytest.fixture(scope="module", autouse=True)
def _variables_of_a_module() -> Iterator[None]:
    """And what fixtures of a module's scope set ends with the module."""
    with _variables_kept():
        yield


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The stack shared by the session; nothing of it is started by this fixture."""
    return Stack(Path(os.environ.get("QUINTET_TEST_STACK") or os.environ[_SHARED]))


@pytest.fixture(scope="session")
def _started() -> set[str]:
    """Servers that this process knows to be up."""
    return set()


@pytest.fixture
def env(
    request: pytest.FixtureRequest,
    stack: Stack,
    _started: set[str],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[dict[str, str]]:
    """Variables of the servers that the test's ``servers`` markers name, also in os.environ."""
    names = list(
        dict.fromkeys(
            name for marker in request.node.iter_markers("servers") for name in marker.args
        )
    )
    if not set(names) <= _started:
        start(stack, names)
        _started |= set(names)
    home = tmp_path_factory.mktemp("dagster")
    with isolated_environment(stack, names, home) as variables:
        for name in VARIABLES:
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield variables


@pytest.fixture
def openai_admin(env: dict[str, str]) -> Iterator[OpenAIAdmin]:
    """Faults and counters of the test's own key; the test's marker must name ``openai``."""
    admin = OpenAIAdmin.of(env)
    yield admin
    admin.end_faults()
