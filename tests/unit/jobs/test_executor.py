"""The guarded executor without a server: which writer a run has, and what it refuses."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan

from assets.frame.execution import WRITER_TAG, in_process, multiprocess
from jobs.executor import guarded_executor, writer_of


def job_of(*writers):
    """A job with one step per writer; None for a step without one."""

    def step(number, writer):
        @dg.op(name=f"step_{number}", tags={WRITER_TAG: writer} if writer else None)
        def one():
            pass

        return one

    ops = [step(number, writer) for number, writer in enumerate(writers)]

    @dg.job(executor_def=guarded_executor)
    def some_job():
        for one in ops:
            one()

    return some_job


@pytest.mark.parametrize(
    ("writers", "found"),
    [(["a", "a", None], "a"), ([None, None], None), (["b"], "b")],
)
def test_the_writer_is_that_of_the_steps(writers, found):
    assert writer_of(create_execution_plan(job_of(*writers))) == found


def test_only_selected_steps_count():
    plan = create_execution_plan(job_of("a", "b"), step_keys_to_execute=["step_1"])
    assert writer_of(plan) == "b"


def test_two_writers_in_one_run_are_refused():
    with pytest.raises(dg.DagsterInvariantViolationError, match="records of a and b"):
        writer_of(create_execution_plan(job_of("a", "b", "a")))


def test_a_run_without_a_database_names_the_variable(monkeypatch):
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    job = job_of(None)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(dg.DagsterInvariantViolationError, match="POSTGRES_URL is not set"),
    ):
        dg.execute_job(dg.reconstructable(_unwritten), instance, raise_on_error=True)
    assert job.executor_def is guarded_executor


@pytest.mark.parametrize("config", [{}, in_process(), multiprocess(), multiprocess(2)])
def test_the_run_configs_are_valid(config):
    assert dg.validate_run_config(job_of("a"), config)


def test_both_ways_to_execute_at_once_are_refused():
    both = {"execution": {"config": {"in_process": {}, "multiprocess": {}}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job_of("a"), both)


@dg.job(executor_def=guarded_executor)
def _unwritten_job():
    dg.op(name="nothing")(lambda: None)()


def _unwritten():
    return _unwritten_job
