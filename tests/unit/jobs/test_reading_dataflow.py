"""When managed ingestion is looked after: once a minute, while it is asked for."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from assets.reading.managed_ingestion.job import reading_dataflow_job, reading_dataflow_schedule
from assets.reading.settings import ReadingSettings


def evaluate(instance, stream):
    names = ReadingSettings.model_fields
    fields = {name: 1 if field.annotation is int else "name" for name, field in names.items()}
    values: dict[str, Any] = {**fields, "stream": stream}
    settings = ReadingSettings(**values)
    with dg.build_schedule_context(instance=instance, resources={"reading": settings}) as context:
        asked: Any = reading_dataflow_schedule(context)
        return list(asked)


@pytest.fixture
def instance():
    with dg.instance_for_test() as made:
        yield made


def test_sessions_need_nobody_else(instance):
    [skipped] = evaluate(instance, "session")
    assert "READING_STREAM is session" in skipped.skip_message


@pytest.mark.parametrize("stream", ["dataflow", "bigquery_subscription"])
def test_one_run_at_a_time(instance, stream):
    [request] = evaluate(instance, stream)
    assert isinstance(request, dg.RunRequest)
    name = reading_dataflow_job.name
    instance.add_run(dg.DagsterRun(job_name=name, status=dg.DagsterRunStatus.STARTED))
    [skipped] = evaluate(instance, stream)
    assert "still goes on" in skipped.skip_message
    for run in instance.get_runs():
        instance.report_run_failed(run)
    [request] = evaluate(instance, stream)
    assert isinstance(request, dg.RunRequest)
