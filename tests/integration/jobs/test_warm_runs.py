"""Runs forked by a real run server, launched as Dagster's daemon does."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher.base import LaunchRunContext, WorkerStatus

from jobs.warm import protocol
from jobs.warm.launcher import FORKED_TAG, WarmRunLauncher
from local.service import REPOSITORY
from tests import processes
from tests.integration.jobs.run_process import wait_until
from tests.integration.jobs.server_forks import ServerForks, server_forks

pytestmark = pytest.mark.servers("postgres")

DEFINITIONS = """
import os, time
from pathlib import Path
import dagster as dg

@dg.op
def write(context):
    Path(os.environ["WRITTEN"]).open("a").write(f"WORD {os.getpid()} {context.run_id}\\n")

@dg.job
def quick():
    write()

@dg.op
def sleep():
    time.sleep(600)

@dg.job
def slow():
    sleep()

def code_location():
    return dg.Definitions(jobs=[quick, slow])
"""


class World:
    """A root with a code location of two jobs, an instance, and a run server for both."""

    def __init__(self, root: Path, instance: dg.DagsterInstance, forks: ServerForks) -> None:
        self.root, self.instance, self._forks = root, instance, forks
        self.launcher = WarmRunLauncher()
        self.launcher.register_instance(instance)
        self.written = root / "written"
        self.directory = protocol.directory_of(instance.root_directory)
        self._made: dict[str, dg.JobDefinition] = {}
        self.write("one")

    def write(self, word: str) -> None:
        (self.root / "definitions.py").write_text(DEFINITIONS.replace("WORD", word))

    @contextlib.contextmanager
    def server(self) -> Iterator[psutil.Process]:
        path = os.pathsep.join([str(self.root), str(REPOSITORY)])
        env = {**os.environ, "PYTHONPATH": path, "WRITTEN": str(self.written)}
        process = self._forks.start(self.root, self.root / "log", env)
        try:
            self.ready()
            yield process
        finally:
            # What it forked is in its session, whether it lives or not.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def ready(self) -> None:
        def answers() -> bool:
            try:
                return protocol.ask(self.directory, "status", "nobody's")[0] == "unknown"
            except protocol.NoRunServer:
                return False

        wait_until(answers)

    def launch(self, job: str) -> str:
        """A run that Dagster's daemon takes from its queue; its id."""
        recon = ReconstructableJob.for_file(str(self.root / "definitions.py"), job)
        if job not in self._made:
            self._made[job] = recon.get_definition()
        run = self.instance.create_run_for_job(
            job_def=self._made[job], job_code_origin=recon.get_python_origin()
        )
        self.launcher.launch_run(LaunchRunContext(run, workspace=None))
        return run.run_id

    def run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        return self.run(run_id).status

    def ends(self, run_id: str) -> dg.DagsterRunStatus:
        wait_until(lambda: self.run(run_id).is_finished, 120)
        return self.status(run_id)

    def at_work(self, run_id: str) -> int:
        """The pid of the run's process, once its step has begun."""

        def pid() -> int | None:
            for one in self.instance.all_logs(run_id):
                if one.dagster_event and one.dagster_event.is_step_start:
                    return int(self.pids(run_id)[0])
            return None

        found: int = wait_until(pid)
        return found

    def pids(self, run_id: str) -> list[int]:
        text = (self.directory / "runs" / f"{run_id}.json").read_text()
        return [int(text.partition('"pid": ')[2].partition(",")[0])]


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerForks]:
    with server_forks(tmp_path_factory.mktemp("forks") / "log") as forks:
        yield forks


@pytest.fixture
def world(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: ServerForks
) -> Iterator[World]:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "definitions", raising=False)
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
        yield World(tmp_path, instance, forks)
    sys.modules.pop("definitions", None)


def health(world: World, run_id: str) -> WorkerStatus:
    return world.launcher.check_run_worker_health(world.run(run_id)).status


def test_runs_are_forked_side_by_side_and_leave_nothing_behind(world: World) -> None:
    with world.server() as server:
        runs = [world.launch("quick") for _ in range(4)]
        assert {world.ends(run) for run in runs} == {dg.DagsterRunStatus.SUCCESS}
        lines = [line.split() for line in world.written.read_text().splitlines()]
        assert sorted(line[2] for line in lines) == sorted(runs)
        assert len({line[1] for line in lines} - {str(server.pid)}) == 4, "each in its process"
        assert all(world.run(run).tags[FORKED_TAG] == "true" for run in runs)
        wait_until(lambda: not psutil.Process(server.pid).children(), 60)
        assert not [*(world.directory / "runs").iterdir()]


def test_a_run_is_cancelled_and_a_killed_one_is_known_to_be_dead(world: World) -> None:
    with world.server():
        cancelled, killed = world.launch("slow"), world.launch("slow")
        world.at_work(cancelled)
        pid = world.at_work(killed)
        assert health(world, killed) == WorkerStatus.RUNNING
        assert world.launcher.terminate(cancelled)
        os.kill(pid, signal.SIGKILL)
        assert world.ends(cancelled) == dg.DagsterRunStatus.CANCELED
        assert world.ends(killed) == dg.DagsterRunStatus.FAILURE, "told at once, not in minutes"
        said = [one.message or "" for one in world.instance.all_logs(killed)]
        ended = [one for one in said if "The run's process" in one]
        assert len(ended) == 1, "told once"
        assert "was ended by SIGKILL" in ended[0]
        assert health(world, killed) == WorkerStatus.FAILED
        assert not world.launcher.terminate(killed)


def test_runs_outlive_their_server_and_the_next_one_knows_them(world: World) -> None:
    with world.server() as first:
        run_id = world.launch("slow")
        pid = world.at_work(run_id)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert psutil.Process(pid).is_running()
        assert health(world, run_id) == WorkerStatus.RUNNING, "nobody says otherwise"
        with world.server():
            assert health(world, run_id) == WorkerStatus.RUNNING
            assert world.launcher.terminate(run_id)
            assert world.ends(run_id) == dg.DagsterRunStatus.CANCELED
            wait_until(lambda: not psutil.pid_exists(pid))
            assert health(world, run_id) == WorkerStatus.FAILED


def test_a_run_that_died_with_its_server_is_told_of_by_the_next(world: World) -> None:
    with world.server():
        run_id = world.launch("slow")
        world.at_work(run_id)
    assert world.status(run_id) == dg.DagsterRunStatus.STARTED, "killed with all others"
    with world.server():
        assert world.ends(run_id) == dg.DagsterRunStatus.FAILURE
        said = [one.message or "" for one in world.instance.all_logs(run_id)]
        assert any("ended while nobody looked" in one for one in said)


def test_a_run_is_cancelled_while_no_server_is_up(world: World) -> None:
    with world.server() as server:
        run_id = world.launch("slow")
        pid = world.at_work(run_id)
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        assert world.launcher.terminate(run_id)
        assert world.ends(run_id) == dg.DagsterRunStatus.CANCELED
        wait_until(lambda: not psutil.pid_exists(pid))
        said = [one.message or "" for one in world.instance.all_logs(run_id)]
        assert not any("Nothing to interrupt" in one for one in said)


def test_a_run_that_started_cold_meanwhile_is_not_forked_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold: list[str] = []
    monkeypatch.setattr(
        "dagster._core.launcher.default_run_launcher.DefaultRunLauncher.launch_run",
        lambda _self, context: cold.append(context.dagster_run.run_id),
    )
    with world.server() as server:
        with monkeypatch.context() as hasty:
            hasty.setattr(protocol, "TIMEOUT", 0.5)
            os.kill(server.pid, signal.SIGSTOP)
            given_up = world.launch("quick")
            os.kill(server.pid, signal.SIGCONT)
        assert cold == [given_up]
        # Requests are answered in turn: the one that was given up has been, before this.
        later = world.launch("quick")
        assert world.ends(later) == dg.DagsterRunStatus.SUCCESS
        wait_until(lambda: not psutil.Process(server.pid).children(), 20)
        assert not world.run(given_up).is_finished, "its cold process is to execute it, not a fork"
        assert [line.split()[2] for line in world.written.read_text().splitlines()] == [later]


def test_edited_code_is_what_the_next_run_executes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold: list[str] = []
    monkeypatch.setattr(
        "dagster._core.launcher.default_run_launcher.DefaultRunLauncher.launch_run",
        lambda _self, context: cold.append(context.dagster_run.run_id),
    )
    with world.server() as server:
        assert world.ends(world.launch("quick")) == dg.DagsterRunStatus.SUCCESS
        world.write("two")
        run_id = world.launch("quick")
        assert cold == [run_id], "the code server's, meanwhile"
        assert world.run(run_id).tags[FORKED_TAG] == "false"
        world.ready()
        assert world.ends(world.launch("quick")) == dg.DagsterRunStatus.SUCCESS
        assert [line.split()[0] for line in world.written.read_text().splitlines()] == [
            "one", "two",
        ]  # fmt: skip
        # Code that does not load is the code server's to tell of.
        (world.root / "definitions.py").write_text("this is no Python")
        for _ in range(2):
            broken = world.launch("quick")
            assert cold[-1] == broken
            time.sleep(0.5)
            world.ready()
        assert server.is_running()


def test_without_a_server_runs_start_as_by_default(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold: list[str] = []
    monkeypatch.setattr(
        "dagster._core.launcher.default_run_launcher.DefaultRunLauncher.launch_run",
        lambda _self, context: cold.append(context.dagster_run.run_id),
    )
    run_id = world.launch("quick")
    assert cold == [run_id]
    said = [one.message or "" for one in world.instance.all_logs(run_id)]
    assert any(one.startswith("Starts cold: no run server at") for one in said)
    assert health(world, run_id) == WorkerStatus.RUNNING


def test_a_second_server_refuses_to_start(world: World) -> None:
    with world.server():
        second = processes.run([sys.executable, "-m", "jobs.warm.server", str(world.root)])
        assert second.returncode == 1
        assert "a run server answers at" in second.stderr
