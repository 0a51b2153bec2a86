"""A pipeline's job without a daemon: objects landed, ticks evaluated, batches run as requested.

Belongs here: what Dagster's daemon would do with a landing sensor's answer: the partition is added,
each request is run with its tags, config and selection under the job's own executor, and the ledger
is told of a failed run. The clock can be put forward, so that waits cost nothing. Does not: any
pipeline (``campaign_runs``, ``music_runs``).
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import dagster as dg
import psycopg
import pytest

from assets.frame.declared import LandedFiles
from assets.frame.execution import in_process
from assets.pipelines import defaults
from landing.arrival import ledger, outages
from landing.arrival.tick import evaluate_tick
from landing.stores.base import ObjectStore
from sensors import outcomes
from sensors.landed import InstanceRuns, run_requests, sensor_result


@dataclass(frozen=True)
class PipelineRuns:
    """What the runs of one pipeline are made of; ``job`` is a module's function."""

    job: Callable[[], Any]
    files: LandedFiles

    def execute(
        self, instance: dg.DagsterInstance, request: dg.RunRequest
    ) -> dg.JobExecutionResult:
        """One run, as the run worker does it, under the job's executor and its locks."""
        return dg.execute_job(
            dg.reconstructable(self.job),
            instance,
            run_config=request.run_config,
            tags={**request.tags, "dagster/partition": request.partition_key or ""},
            asset_selection=request.asset_selection,
        )

    def add_partition(self, instance: dg.DagsterInstance, request: dg.RunRequest) -> None:
        instance.add_dynamic_partitions(
            self.files.partition_set or "", [request.partition_key or ""]
        )


@dataclass
class BatchRuns(ABC):
    """One bucket, one ledger, one Dagster instance (in memory)."""

    env: dict[str, str]
    instance: dg.DagsterInstance
    offset: timedelta = timedelta()
    cursor: str | None = None
    #: The last run of every batch.
    results: dict[str, dg.JobExecutionResult] = field(default_factory=dict)

    pipeline: ClassVar[PipelineRuns]

    @abstractmethod
    def store(self) -> AbstractContextManager[ObjectStore]:
        """The bucket in which objects land."""

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def forward(self, seconds: float) -> None:
        """Put the clock forward."""
        self.offset += timedelta(seconds=seconds)

    def tick(self) -> list[dg.RunRequest]:
        """What the sensor requests now."""
        with (
            self.store() as store,
            psycopg.connect(self.env["POSTGRES_URL"], autocommit=True) as connection,
        ):
            source = self.pipeline.files.source(store.bucket, self.pipeline.files.places().prefix)
            tick = evaluate_tick(
                source,
                store,
                connection,
                self.cursor,
                now=self.now,
                deadline=time.monotonic() + 20,
                clock=time.monotonic,
                runs=InstanceRuns(self.instance),
            )
        self.cursor = tick.cursor
        made, _ = run_requests(self.pipeline.files, tick.requests)
        answer = sensor_result(self.pipeline.files, tick, made, known_partitions=())
        # Other processes would not have this one's instance.
        requests = [
            request.with_replaced_attrs(run_config=in_process())
            for request in answer.run_requests or []
        ]
        for request in requests:
            self.pipeline.add_partition(self.instance, request)
        return requests

    def run(self, request: dg.RunRequest) -> dg.JobExecutionResult:
        """Run it; a failure reaches the ledger as through the sensor of failed runs."""
        tags = {**request.tags, "dagster/run_key": request.run_key or ""}
        result = self.pipeline.execute(self.instance, request.with_replaced_attrs(tags=tags))
        batch_id = request.partition_key or ""
        self.results[batch_id] = result
        if not result.success:
            self._tell_failure(batch_id, result)
        return result

    def backfill(self, batch_id: str) -> dg.JobExecutionResult:
        """What `dagster job backfill --partitions` makes of a batch: the whole job."""
        result = self.pipeline.execute(self.instance, dg.RunRequest(partition_key=batch_id))
        self.results[batch_id] = result
        return result

    def batch(self, batch_id: str) -> ledger.Batch:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return ledger.batch(connection, batch_id)

    def sinks(self, batch_id: str) -> dict[str, ledger.SinkState]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return {s.sink: s for s in ledger.sinks(connection, [batch_id])[batch_id]}

    def done(self, batch_id: str) -> set[str]:
        return {name for name, sink in self.sinks(batch_id).items() if sink.state == "done"}

    def reopen(self, batch_id: str) -> None:
        """As `make replay` does."""
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            assert ledger.reopen(connection, batch_id)

    def counts(self, batch_id: str) -> dict[str, int]:
        """Rows by outcome, of all objects of the batch."""
        names = ("read", "written", "unchanged", "superseded", "rejected")
        columns = ", ".join(f"coalesce(sum(rows_{name}), 0)::bigint" for name in names)
        ((*sums,),) = self.query(
            f"SELECT {columns} FROM landing.object_version WHERE batch_id = %s", batch_id
        )
        return dict(zip(names, sums, strict=True))

    def query(self, statement: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return connection.execute(statement, arguments or None).fetchall()

    def _tell_failure(self, batch_id: str, result: dg.JobExecutionResult) -> None:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            found = outcomes.failure_of(
                ledger.batch(connection, batch_id),
                ledger.sinks(connection, [batch_id])[batch_id],
                result.run_id,
            )
            assert found is not None, "a run that fails says why"
            ledger.mark_failed(
                connection,
                batch_id,
                run_id=result.run_id,
                error_class=found[0],
                error=found[1],
                now=self.now(),
            )
            outages.note_failures(connection, batch_id, result.run_id, self.now())


@contextmanager
def default_variables() -> Iterator[None]:
    """Every unset variable has its default, for this test only."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in defaults().items():
            if name not in os.environ:
                patch.setenv(name, value)
        yield


def selected(request: dg.RunRequest) -> set[str] | None:
    """The names of the assets that a request selects; None for the whole job."""
    if request.asset_selection is None:
        return None
    return {key.path[-1] for key in request.asset_selection}
