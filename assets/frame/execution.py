"""How runs are executed and told apart: their tags and their configuration.

Belongs here: words that assets, jobs and sensors share about runs. Does not: the executor
(``jobs/executor.py``), which assets a run selects.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

#: The landing batch that a run works on. A run without it works on its partition.
BATCH_TAG = "quintet/batch"

#: The pipeline whose records are decided and written: one such run at a time. On assets it tells
#: the executor which lock to hold, on jobs it lets the queue wait instead.
WRITER_TAG = "quintet/writer"

#: Runs that have not ended.
UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def in_process() -> dict[str, Any]:
    """Run config for a small batch: every step in the run's own process."""
    return {"execution": {"config": {"in_process": {}}}}


def multiprocess(processes: int = 4) -> dict[str, Any]:
    """Run config for a large batch: sinks side by side, forked from one preloaded server."""
    preload = [
        "definitions",
        "dagster_gcp.gcs",
        "landing.batch.delivery",
        "landing.batch.parquet",
        "psycopg",
        "resources.dagster_storage",
    ]
    return {
        "execution": {
            "config": {
                "multiprocess": {
                    "max_concurrent": processes,
                    "start_method": {"forkserver": {"preload_modules": preload}},
                }
            }
        }
    }
