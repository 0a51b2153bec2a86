"""The run launcher that ``dagster.yaml`` names: a run server's forks, else the code server's.

Belongs here: Dagster's questions about a run, passed on. Does not: the server (``server.py``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import dagster as dg
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._serdes import ConfigurableClassData

from jobs.warm import protocol
from jobs.warm.known_runs import KnownRuns

#: Runs that the run server has forked have it; the others are the code server's.
FORKED_TAG = "quintet/forked"


class WarmRunLauncher(DefaultRunLauncher):
    """Asks the run server of the instance for a fork; without one a run starts as by default.

    Which runs are dead is said by the run server, of those that it knows. Of others nothing is
    said here: the locks of runs tell (``sensors/reaper.py``).
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure: the server listens in ``DAGSTER_HOME``."""
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> Self:
        """As Dagster makes it."""
        del config_value
        return cls(inst_data=inst_data)

    @property
    def _directory(self) -> Path:
        return protocol.directory_of(self._instance.root_directory)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Have the run forked. Raises what DefaultRunLauncher does where it starts cold."""
        run = context.dagster_run
        self._instance.add_run_tags(run.run_id, {FORKED_TAG: "true"})
        try:
            answer, words = protocol.ask(self._directory, "launch", run.run_id)
        except protocol.NoRunServer as error:
            answer, words = "refused", str(error)
        if answer == "ok":
            self._instance.report_engine_event(f"Forked by the run server: {words}.", run)
            self._run_ids.add(run.run_id)
            return
        why = words or "the run server starts over with changed code"
        self._instance.add_run_tags(run.run_id, {FORKED_TAG: "false"})
        self._instance.report_engine_event(f"Starts cold: {why}.", run)
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process, as cancelling does; whether there was one."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if not _forked(run):
            stopped: bool = super().terminate(run_id)  # type: ignore[no-untyped-call]
            return stopped
        self._instance.report_run_canceling(run)
        try:
            answer, words = protocol.ask(self._directory, "interrupt", run_id)
        except protocol.NoRunServer as error:
            answer, words = self._interrupt(run_id), str(error)
        if answer != "running":
            self._instance.report_engine_event(f"Nothing to interrupt: {words or answer}.", run)
        return answer == "running"

    def _interrupt(self, run_id: str) -> protocol.Answer:
        """Without a server, by its notes: a process that is found is the run's, by its start.

        One that is not found may be another container's.
        """
        worker = KnownRuns(self._directory / "runs").get(run_id)
        if worker is None or not worker.alive:
            return "unknown"
        try:
            os.kill(worker.pid, signal.SIGINT)
        except ProcessLookupError:  # it ended just now
            return "gone"
        return "running"

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Of runs that were forked."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """FAILED for a forked run whose process is gone; RUNNING where nothing is known."""
        if not _forked(run):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "its locks tell")
        try:
            answer, words = protocol.ask(self._directory, "status", run.run_id)
        except protocol.NoRunServer as error:
            return CheckRunHealthResult(WorkerStatus.RUNNING, str(error))
        gone = answer in {"gone", "unknown"}
        return CheckRunHealthResult(WorkerStatus.FAILED if gone else WorkerStatus.RUNNING, words)


def _forked(run: dg.DagsterRun) -> bool:
    return run.tags.get(FORKED_TAG) == "true"
