"""What Dagster's daemon does with a run key: the premise of repeating a request at every tick."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.sensor import fetch_existing_runs


class Sensor:
    """The part of RemoteSensor by which runs are told apart."""

    name = "campaigns_gcs_sensor"


def existing(instance: dg.DagsterInstance, key: str) -> list[str]:
    return list(fetch_existing_runs(instance, Sensor(), [dg.RunRequest(run_key=key)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "status",
    [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS],
)
def test_a_run_key_is_taken_until_its_run_is_deleted(status: dg.DagsterRunStatus) -> None:
    tags = {"dagster/run_key": "batch/1", "dagster/sensor_name": Sensor.name}
    with dg.DagsterInstance.ephemeral() as instance:
        assert existing(instance, "batch/1") == []
        run = create_run_for_test(instance, "campaigns", tags=tags, status=status)
        assert existing(instance, "batch/1") == ["batch/1"]
        assert existing(instance, "batch/2") == [], "so that another attempt needs another key"
        instance.delete_run(run.run_id)
        assert existing(instance, "batch/1") == [], "so that a deleted run is launched again"
