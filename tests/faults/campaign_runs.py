"""The campaigns job without a daemon: objects landed, ticks evaluated, batches run as requested.

``CampaignRuns`` does what Dagster's daemon would do with the real sensor's answer: it adds the
partition, runs each request with its tags, config and selection under the job's own executor, and
tells the ledger of a failed run. Its clock can be put forward, so that waits cost nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
from google.cloud import storage

from assets.campaigns.pipeline import BATCH_CHECKS, BATCHES, LANDING_KEY, PIPELINE
from assets.campaigns.source import campaigns_source
from landing import ledger
from landing.stores.gcs import GcsStore
from landing.tick import evaluate_tick
from resources.gcs import GcsResource
from sensors import outcomes
from sensors.landing import InstanceRuns, sensor_result
from tests.faults.oracle import as_csv

SERVERS = ("postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai")
SINKS = {
    "raw_messages",
    "message_embeddings",
    "user_profiles",
    "engagement_graph",
    "engagement_analytics",
}


def campaigns_job() -> Any:
    """The job as the code location has it."""
    from definitions import build_defs

    return build_defs().resolve_job_def(PIPELINE)


def execute(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.JobExecutionResult:
    """One run, as the run worker does it, under the job's executor and its locks."""
    return dg.execute_job(
        dg.reconstructable(campaigns_job),
        instance,
        run_config=request.run_config,
        tags={**request.tags, "dagster/partition": request.partition_key or ""},
        asset_selection=request.asset_selection,
    )


@dataclass
class CampaignRuns:
    """One bucket, one ledger, one Dagster instance (in memory)."""

    env: dict[str, str]
    instance: dg.DagsterInstance
    offset: timedelta = timedelta()
    cursor: str | None = None
    #: The last run of every batch.
    results: dict[str, dg.JobExecutionResult] = field(default_factory=dict)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.offset

    @contextmanager
    def bucket(self, variable: str = "CAMPAIGNS_BUCKET") -> Iterator[storage.Bucket]:
        client = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"]).client()
        yield client.bucket(self.env[variable])
        client.close()

    def land(self, name: str, content: bytes | Sequence[Sequence[str]]) -> None:
        """Put an object under the landing prefix."""
        data = content if isinstance(content, bytes) else as_csv(content)
        with self.bucket() as bucket:
            bucket.blob(f"campaigns/{name}").upload_from_string(data, content_type="text/csv")

    def tick(self) -> list[dg.RunRequest]:
        """What the sensor requests now."""
        source = campaigns_source(self.env["CAMPAIGNS_BUCKET"], "campaigns/")
        with (
            self.bucket() as bucket,
            psycopg.connect(self.env["POSTGRES_URL"], autocommit=True) as connection,
        ):
            tick = evaluate_tick(
                source,
                GcsStore(bucket.client, bucket.name),
                connection,
                self.cursor,
                now=self.now,
                deadline=time.monotonic() + 20,
                clock=time.monotonic,
                runs=InstanceRuns(self.instance),
            )
        self.cursor = tick.cursor
        answer = sensor_result(
            tick,
            source,
            partitions_def=BATCHES,
            new_partitions=[request.batch_id for request in tick.requests],
            landing_asset=LANDING_KEY,
            validation="events",
            derived=("campaign_recommendations",),
            checks=BATCH_CHECKS,
            small_run={"execution": {"config": {"in_process": {}}}},
            large_run={"execution": {"config": {"in_process": {}}}},
        )
        requests = list(answer.run_requests or [])
        for request in requests:
            self.instance.add_dynamic_partitions(BATCHES.name or "", [request.partition_key or ""])
        return requests

    def run(self, request: dg.RunRequest) -> dg.JobExecutionResult:
        """Run it; a failure reaches the ledger as through the sensor of failed runs."""
        tags = {**request.tags, "dagster/run_key": request.run_key or ""}
        result = execute(self.instance, request.with_replaced_attrs(tags=tags))
        batch_id = request.partition_key or ""
        self.results[batch_id] = result
        if not result.success:
            self._tell_failure(batch_id, result)
        return result

    def load(self, name: str, content: bytes | Sequence[Sequence[str]]) -> str:
        """Land an object and run its batch, which must succeed; the batch's id."""
        self.land(name, content)
        (request,) = self.tick()
        assert self.run(request).success
        return request.partition_key or ""

    def backfill(self, batch_id: str) -> dg.JobExecutionResult:
        """What `dagster job backfill --partitions` makes of a batch: the whole job."""
        result = execute(self.instance, dg.RunRequest(partition_key=batch_id))
        self.results[batch_id] = result
        return result

    def forward(self, seconds: float) -> None:
        """Put the clock forward."""
        self.offset += timedelta(seconds=seconds)

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
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            row = connection.execute(
                "SELECT "
                + ", ".join(f"coalesce(sum(rows_{name}), 0)::bigint" for name in names)
                + " FROM landing.object_version WHERE batch_id = %s",
                [batch_id],
            ).fetchone()
        return dict(zip(names, row or (), strict=True))

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


def selected(request: dg.RunRequest) -> set[str] | None:
    """The names of the assets that a request selects; None for the whole job."""
    if request.asset_selection is None:
        return None
    return {key.path[-1] for key in request.asset_selection}
