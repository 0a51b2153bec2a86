"""Steps' output, captured by a real run, where the variable says."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from resources.gcs import GcsResource
from tests.integration.jobs.run_process import run_process


def run_and_find():
    with dg.DagsterInstance.get() as instance:
        with run_process("speaking_job") as process:
            assert process.wait(90) == 0, process.output()
        (run,) = instance.get_runs()
    return run.run_id


def on_disk(home):
    return [path.read_text() for path in (Path(home) / "storage").rglob("*.out") if path.is_file()]


@pytest.mark.servers("postgres")
@pytest.mark.parametrize("value", ["", None])
def test_on_disk_when_no_bucket_is_named(env, value, monkeypatch):
    if value is not None:
        monkeypatch.setenv("COMPUTE_LOGS_BUCKET", value)
    run_id = run_and_find()
    assert [text.strip() for text in on_disk(env["DAGSTER_HOME"])] == [f"spoken in {run_id}"]


@pytest.mark.servers("postgres", "gcs")
def test_in_the_bucket_that_is_named(env, monkeypatch):
    bucket = env["QUARANTINE_BUCKET"]
    monkeypatch.setenv("COMPUTE_LOGS_BUCKET", f"gs://{bucket}/logs/of steps")
    run_id = run_and_find()
    client = GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()
    texts = {
        blob.name: blob.download_as_bytes().decode()
        for blob in client.list_blobs(bucket, prefix="logs/of steps/")
        if blob.name.endswith(".out")
    }
    client.close()
    assert [text.strip() for text in texts.values()] == [f"spoken in {run_id}"]
    assert all(run_id in name for name in texts)
    assert on_disk(env["DAGSTER_HOME"]) == []
