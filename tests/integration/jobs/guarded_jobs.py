"""Jobs under the guarded executor, and what a process does that runs one: as a launcher's does."""

# No postponed annotations: Dagster reads them.
import os
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg

from assets.frame.execution import WRITER_TAG
from jobs.executor import guarded_executor

SECONDS = 1.5

#: What the waiting job holds while it waits.
POOL = "waiting"


def _note_interval(context: dg.OpExecutionContext) -> None:
    """Append run id, start and end of this step to the file that the test reads."""
    start = time.time()
    time.sleep(SECONDS / 2)
    with Path(os.environ["INTERVALS"]).open("a") as file:
        file.write(f"{context.run_id} {start} {time.time()}\n")


@dg.op(tags={WRITER_TAG: "campaigns"})
def decide(context: dg.OpExecutionContext) -> int:
    _note_interval(context)
    return 1


@dg.op(tags={WRITER_TAG: "campaigns"})
def write(context: dg.OpExecutionContext, decided: int) -> None:
    _note_interval(context)


@dg.job(executor_def=guarded_executor)
def writing_job():
    write(decide())


@dg.op
def read_one(context: dg.OpExecutionContext) -> int:
    _note_interval(context)
    return 1


@dg.op
def read_two(context: dg.OpExecutionContext, one: int) -> None:
    _note_interval(context)


@dg.job(executor_def=guarded_executor)
def reading_job():
    read_two(read_one())


@dg.op(pool=POOL)
def wait_for_ever() -> None:
    time.sleep(600)


@dg.job(executor_def=guarded_executor)
def waiting_job():
    wait_for_ever()


@dg.op
def speak(context: dg.OpExecutionContext) -> None:
    print(f"spoken in {context.run_id}", flush=True)


@dg.job(executor_def=guarded_executor)
def speaking_job():
    speak()


def execute(job: str, config: dict[str, Any], tags: dict[str, str]) -> None:
    """Run one in this process, which ends with 0 if that is well."""
    with dg.DagsterInstance.get() as instance:
        result = dg.execute_job(
            dg.reconstructable(globals()[job]), instance, run_config=config, tags=tags
        )
    sys.exit(0 if result.success else 1)
