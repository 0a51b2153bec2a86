"""The guarded executor in real run processes: one writer at a time, in either way to execute."""

from __future__ import annotations

from contextlib import ExitStack

import dagster as dg
import psycopg
import pytest

from assets.frame.execution import in_process
from landing.batch.locks import hold_locks, run_lock_held
from resources.advisory_locks import Lock, is_held
from tests.integration.jobs.run_process import run_process, started_run, wait_until

pytestmark = pytest.mark.servers("postgres")

SPAWNED = {"execution": {"config": {"multiprocess": {"max_concurrent": 2}}}}


def intervals(path):
    """Per run: from the start of its first step to the end of its last one."""
    spans: dict[str, tuple[float, float]] = {}
    for line in path.read_text().splitlines():
        run, start, end = line.split()
        before = spans.get(run, (float("inf"), 0.0))
        spans[run] = (min(before[0], float(start)), max(before[1], float(end)))
    return sorted(spans.values())


def run_together(job, config, path):
    with ExitStack() as stack:
        processes = [stack.enter_context(run_process(job, config=config)) for _ in range(2)]
        for process in processes:
            assert process.wait(150) == 0, process.output()
    spans = intervals(path)
    assert len(spans) == 2
    return spans


@pytest.mark.parametrize("config", [in_process(), SPAWNED], ids=["in_process", "multiprocess"])
def test_two_runs_of_one_pipeline_never_overlap(env, config, tmp_path, monkeypatch):
    path = tmp_path / "intervals"
    monkeypatch.setenv("INTERVALS", str(path))
    first, second = run_together("writing_job", config, path)
    assert first[1] <= second[0]


def test_a_run_waits_for_the_writer_and_is_known_to_live_meanwhile(env, tmp_path, monkeypatch):
    path = tmp_path / "intervals"
    monkeypatch.setenv("INTERVALS", str(path))
    tags = {"test": "waiting"}
    with (
        dg.DagsterInstance.get() as instance,
        psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection,
        ExitStack() as stack,
    ):
        with hold_locks(env["POSTGRES_URL"], "another run", "campaigns"):
            process = stack.enter_context(run_process("writing_job", tags=tags))
            run = wait_until(lambda: instance.get_runs(dg.RunsFilter(tags=tags)))[0]
            wait_until(lambda: run_lock_held(connection, run.run_id))
            assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.STARTED
            assert not path.exists()
        assert process.wait(60) == 0, process.output()
        assert len(path.read_text().splitlines()) == 2
        assert not run_lock_held(connection, run.run_id)
        assert not is_held(connection, Lock.WRITER, "campaigns")


def test_runs_that_write_nothing_do_overlap(env, tmp_path, monkeypatch):
    """Else the tests above would pass without any lock."""
    path = tmp_path / "intervals"
    monkeypatch.setenv("INTERVALS", str(path))
    with (
        dg.DagsterInstance.get() as instance,
        hold_locks(env["POSTGRES_URL"], "another run", "campaigns"),
        run_process("waiting_job", tags={"test": "free"}),
    ):
        assert started_run(instance, "free")
        with run_process("reading_job") as reading:
            assert reading.wait(60) == 0, reading.output()
    assert len(intervals(path)) == 1
