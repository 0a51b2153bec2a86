"""The executor of every job: Dagster's own, under the locks that say a run is alive.

Belongs here: how a run is executed. Does not: which assets a job selects.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator

import dagster as dg
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.execution.step_dependency_config import StepDependencyConfig
from dagster._core.executor.base import Executor

from assets.frame.execution import WRITER_TAG
from landing.batch.locks import hold_locks

log = logging.getLogger(__name__)


class GuardedExecutor(Executor):
    """Runs ``inner`` while this process holds the run's lock and, if tagged, its writer's lock.

    The server frees the locks when the process dies, so that a run which is STARTED without its
    lock is known to be dead; no heartbeat can say that about a killed process as soon.
    """

    def __init__(self, inner: Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> RetryMode:
        """The inner executor's."""
        return self._inner.retries

    @property
    def step_dependency_config(self) -> StepDependencyConfig:
        """The inner executor's."""
        return self._inner.step_dependency_config

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        """Take the locks, waiting for the writer's, then hand over to the inner executor.

        Raises:
            DagsterInvariantViolationError: POSTGRES_URL is not set, or the steps write the records
                of more than one pipeline.
        """
        url = os.environ.get("POSTGRES_URL")
        if not url:
            raise dg.DagsterInvariantViolationError(
                "POSTGRES_URL is not set: runs hold their locks there. See .env.example."
            )
        run_id = plan_context.dagster_run.run_id
        with hold_locks(url, run_id, writer_of(execution_plan), on_lost=_interrupt):
            yield from self._inner.execute(plan_context, execution_plan)


def writer_of(execution_plan: ExecutionPlan) -> str | None:
    """The pipeline whose records the steps write, however the run was started; None for none.

    Raises:
        DagsterInvariantViolationError: there is more than one.
    """
    steps = [execution_plan.get_step_by_key(key) for key in execution_plan.step_keys_to_execute]
    tags = [step.tags or {} for step in steps]
    writers = sorted({step_tags[WRITER_TAG] for step_tags in tags if WRITER_TAG in step_tags})
    if len(writers) > 1:
        raise dg.DagsterInvariantViolationError(
            f"One run must not write the records of {' and '.join(writers)}: start one for each."
        )
    return writers[0] if writers else None


def _interrupt(reason: str) -> None:
    """Another run may have taken over: stop writing, as if the run had been cancelled."""
    log.error("stopping the run: %s", reason)
    os.kill(os.getpid(), signal.SIGINT)


@dg.executor(
    name="guarded",
    config_schema=dg.Field(
        dg.Selector(  # type: ignore[no-untyped-call]
            {
                "in_process": dg.in_process_executor.config_schema.as_field(),
                "multiprocess": dg.multiprocess_executor.config_schema.as_field(),
            }
        ),
        default_value={"in_process": {}},
    ),
    requirements=lambda config: (
        dg.multiple_process_executor_requirements() if "multiprocess" in config else []
    ),
)
def guarded_executor(init_context: dg.InitExecutorContext) -> Executor:
    """In-process by default, multiprocess by run config; guarded either way."""
    create = dg.multi_or_in_process_executor.executor_creation_fn
    assert create is not None  # noqa: S101  Dagster's own executors all have one
    return GuardedExecutor(create(init_context))
