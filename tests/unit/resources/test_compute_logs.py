"""Which compute log manager a variable's value leads to."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from resources.compute_logs import ComputeLogs

CONFIG = {"variable": "COMPUTE_LOGS_BUCKET"}


@pytest.mark.parametrize("value", [None, ""])
def test_local_disk_unless_the_variable_names_a_bucket(value, monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.delenv("COMPUTE_LOGS_BUCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("COMPUTE_LOGS_BUCKET", value)
    manager = ComputeLogs.from_config_value(None, CONFIG)
    assert isinstance(manager, LocalComputeLogManager)
    path = manager.get_captured_local_path(["run", "step"], "out")
    assert path.startswith(str(tmp_path / "storage"))


@pytest.mark.parametrize("value", ["bucket", "gs://", "s3:///prefix", "/tmp/logs", "http://x/y"])
def test_anything_else_is_refused_by_name(value, monkeypatch):
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", value)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="COMPUTE_LOGS_BUCKET must be"):
        ComputeLogs.from_config_value(None, CONFIG)


def test_s3_gets_the_bucket_the_prefix_and_the_endpoint(monkeypatch):
    from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", "s3://logs/a/b/")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    made = {}
    monkeypatch.setattr(
        S3ComputeLogManager, "__init__", lambda self, **options: made.update(options)
    )
    ComputeLogs.from_config_value(None, CONFIG)
    assert (made["bucket"], made["prefix"]) == ("logs", "a/b")
    assert made["endpoint_url"] == "http://127.0.0.1:9"
