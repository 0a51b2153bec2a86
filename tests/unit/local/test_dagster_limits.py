"""Dagster's limits as Dagster itself reads them, and that they fit to each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from dagster._grpc import utils as limits

from resources.environment import DAGSTER_VARIABLES

INSTANCE = yaml.safe_load((Path(__file__).parents[3] / "dagster.yaml").read_text())


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
