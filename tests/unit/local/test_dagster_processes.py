"""What is done when a process of Dagster's has ended, over a supervisor that starts nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from local import dagster_processes
from local.dagster_processes import DagsterDied, DagsterProcesses
from local.process import Running
from local.service import Service
from tests import processes


class Supervisor:
    """All processes have ended, and end as soon as they are started."""

    def __init__(self) -> None:
        self.spawned: list[str] = []

    def running(self, _: Service) -> Running | None:
        return None

    def spawn(self, service: Service) -> object:
        self.spawned.append(service.name)
        return object()

    def log(self, _: Service) -> Path:
        return Path("none")

    def stop(self, services: list[Service]) -> None:
        raise AssertionError(f"{services}: what they had started would end with them")


def ended(logs: Path, *names: str) -> tuple[DagsterProcesses, Supervisor, list[str]]:
    said: list[str] = []
    dagster = processes.dagster(logs, say=said.append)
    supervisor = Supervisor()
    dagster.supervisor = cast("Any", supervisor)
    dagster._spawned = {name: cast("Any", object()) for name in names}
    return dagster, supervisor, said


@pytest.mark.parametrize("name", ["code", "runs", "api"])
def test_who_serves_is_started_again_and_that_is_said(tmp_path: Path, name: str) -> None:
    dagster, supervisor, said = ended(tmp_path, name)
    dagster.check_alive()
    assert supervisor.spawned == [name]
    assert len(said) == 1
    assert name in said[0]


@pytest.mark.parametrize("name", ["code", "runs"])
def test_not_time_after_time(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    dagster, supervisor, _ = ended(tmp_path, name)
    for _ in range(3):
        dagster.check_alive()
    with pytest.raises(DagsterDied, match=name):
        dagster.check_alive()
    assert supervisor.spawned == [name] * 3
    monkeypatch.setattr(dagster_processes, "_LATELY", 0.0)  # long ago
    dagster.check_alive()
    assert len(supervisor.spawned) == 4


@pytest.mark.parametrize("name", ["daemon", "webserver"])
def test_the_others_are_missed(tmp_path: Path, name: str) -> None:
    dagster, supervisor, _ = ended(tmp_path, name)
    with pytest.raises(DagsterDied, match=name):
        dagster.check_alive()
    assert supervisor.spawned == []
