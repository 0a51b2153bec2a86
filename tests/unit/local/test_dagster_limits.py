"""Dagster's limits as Dagster itself reads them, and that they fit to each other."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
import yaml
from dagster._grpc import utils as limits
from dagster._grpc.__generated__ import dagster_api_pb2 as api
from dagster._grpc.__generated__ import dagster_api_pb2_grpc as servicers

from local.service import REPOSITORY
from resources.environment import DAGSTER_VARIABLES
from tests import processes

INSTANCE = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
#: Services of compose in which Dagster asks a code server for runs.
ASKING = ("webserver", "daemon")
#: Seconds that the server needs to start a run.
SLOW = 1.5


def test_a_run_gets_longer_to_start_than_a_tick_to_be_evaluated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in DAGSTER_VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert limits.default_grpc_timeout() == 240
    assert limits.default_sensor_grpc_timeout() == 60
    assert limits.default_schedule_grpc_timeout() == 60
    assert limits.default_grpc_server_shutdown_grace_period() == 60


def test_monitoring_waits_for_a_code_server_that_still_starts_a_run() -> None:
    call = int(DAGSTER_VARIABLES["DAGSTER_GRPC_TIMEOUT_SECONDS"])
    assert INSTANCE["run_monitoring"]["start_timeout_seconds"] > call


def test_compose_and_the_example_have_the_same_limits() -> None:
    example = dict(
        line.split("=", 1)
        for line in (REPOSITORY / ".env.example").read_text().splitlines()
        if line.startswith("DAGSTER_")
    )
    for name, value in DAGSTER_VARIABLES.items():
        assert example.get(name) == value
        for service in ASKING:
            said = COMPOSE["services"][service]["environment"][name]
            found = re.fullmatch(rf"\$\{{{name}:-(\d+)\}}", said)
            assert found, (service, name, said)
            assert found[1] == value, (service, name)


class SlowServer(servicers.DagsterApiServicer):
    """A code server on a busy machine."""

    def StartRun(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        time.sleep(SLOW)
        return api.StartRunReply(serialized_start_run_result="started")


@pytest.fixture
def slow() -> Iterator[int]:
    """The server's port."""
    server = grpc.server(ThreadPoolExecutor(2))
    servicers.add_DagsterApiServicer_to_server(SlowServer(), server)
    port: int = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


START = """
import sys
from dagster._grpc.__generated__ import dagster_api_pb2 as api
from dagster._grpc.client import DagsterGrpcClient

client = DagsterGrpcClient(port=int(sys.argv[1]), host="127.0.0.1")
reply = client._query("StartRun", api.StartRunRequest, serialized_execute_run_args="")
print(reply.serialized_start_run_result)
"""


def test_the_variable_is_how_long_the_start_of_a_run_may_take(slow: int) -> None:
    """Dagster's own would be 60 s: the daemon reports such a run as failed, its worker ends."""

    def start(**variables: str) -> Any:
        env = processes.environment({f"DAGSTER_{name}": one for name, one in variables.items()})
        return processes.run([sys.executable, "-c", START, str(slow)], env=env)

    short = start(GRPC_TIMEOUT_SECONDS="1")
    assert "timed out due to taking longer than 1 seconds" in short.stderr
    # The shorter limit of a tick is none of a start.
    long = start(GRPC_TIMEOUT_SECONDS="10", SENSOR_GRPC_TIMEOUT_SECONDS="1")
    assert long.stdout == "started\n"
