"""The code server of our own, whose proxy outlives what it serves: both are started again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.dagster_processes import DagsterProcesses
from tests import processes

pytestmark = pytest.mark.servers("postgres", "s3")


@pytest.fixture
def served(env: dict[str, str], tmp_path: Path) -> Iterator[DagsterProcesses]:
    (logs := tmp_path / "logs").mkdir()
    dagster = processes.dagster(logs, env={"QUINTET_PIPELINES": "images"})
    dagster.start(webserver=False, daemon=False)
    yield dagster
    dagster.stop()


def server_of(dagster: DagsterProcesses) -> psutil.Process | None:
    """What the proxy has started."""
    pid = dagster.pids().get("code")
    found = psutil.Process(pid).children() if pid else []
    return next((one for one in found if "grpc" in one.cmdline()), None)


def started_again(dagster: DagsterProcesses) -> set[int]:
    """The pids of the proxies until one serves, watched as `make dev` does."""
    service = dagster.services["code"]
    seen: set[int] = set()
    end = time.monotonic() + 90
    while not (dagster.supervisor.answers(service) and server_of(dagster)):
        assert time.monotonic() < end, dagster.log_end("code")
        dagster.check_alive()
        seen |= {dagster.pids()["code"]}
        time.sleep(0.3)
    return seen


@pytest.mark.parametrize("killed", ["proxy", "server"])
def test_it_is_started_again_once_whichever_half_dies(
    served: DagsterProcesses, killed: str
) -> None:
    proxy, server = served.pids()["code"], server_of(served)
    assert server is not None
    one = server if killed == "server" else psutil.Process(proxy)
    one.kill()
    psutil.wait_procs([one], timeout=10)
    served.check_alive()
    again = started_again(served)
    assert again == {served.pids()["code"]}
    assert proxy not in again
    served.check_alive()
    assert {served.pids()["code"]} == again, "it is left alone once it serves"


def test_the_workspace_names_where_it_serves(served: DagsterProcesses) -> None:
    text = (served.state / "workspace.yaml").read_text("utf-8")
    port = served.supervisor.place().ports["code"]
    assert f"port: {port}" in text
    assert "location_name: quintet" in text
