"""The music job without a daemon: files landed, ticks evaluated, batches run as requested.

Belongs here: what Dagster's daemon would do with the sensor's answer, and a process that is killed
at a named point of a run. Does not: expected figures.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import minio
import psycopg

from assets.music.pipeline import BATCH_CHECKS, BATCHES, LANDING_KEY, PIPELINE, RAW_REMOVALS
from assets.music.source import music_source
from landing import ledger
from landing.stores.minio import MinioStore
from landing.tick import evaluate_tick
from sensors.landing import InstanceRuns, sensor_result
from tests.faults.killed_run import _after, _die, _replace

SERVERS = ("postgres", "s3", "milvus", "openai", "typesense", "music_services")
IN_PROCESS = {"execution": {"config": {"in_process": {}}}}


def music_job() -> Any:
    """The job as the code location has it."""
    from definitions import build_defs

    return build_defs(pipelines=[PIPELINE]).resolve_job_def(PIPELINE)


def execute(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.JobExecutionResult:
    """One run, as the run worker does it, under the job's executor and its locks."""
    return dg.execute_job(
        dg.reconstructable(music_job),
        instance,
        run_config=request.run_config,
        tags={**request.tags, "dagster/partition": request.partition_key or ""},
        asset_selection=request.asset_selection,
    )


@dataclass
class MusicRuns:
    """One raw bucket, one ledger, one Dagster instance (in memory)."""

    env: Mapping[str, str]
    instance: dg.DagsterInstance
    #: Objects without versions are taken when they are some seconds old.
    offset: timedelta = timedelta(seconds=5)
    cursor: str | None = None

    def raw(self) -> MinioStore:
        return self._bucket("MUSIC_RAW_BUCKET")

    def tick(self) -> list[dg.RunRequest]:
        """What the sensor requests now."""
        store = self.raw()
        source = music_source(store.bucket, "")
        with psycopg.connect(self.env["POSTGRES_URL"], autocommit=True) as connection:
            tick = evaluate_tick(
                source,
                store,
                connection,
                self.cursor,
                now=lambda: datetime.now(UTC) + self.offset,
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
            validation="bronze_records",
            derived=(RAW_REMOVALS,),
            checks=BATCH_CHECKS,
            small_run=IN_PROCESS,
            large_run=IN_PROCESS,
        )
        requests = list(answer.run_requests or [])
        for request in requests:
            self.instance.add_dynamic_partitions(BATCHES.name or "", [request.partition_key or ""])
        return requests

    def run(self, request: dg.RunRequest) -> dg.JobExecutionResult:
        """Run it to its end."""
        tags = {**request.tags, "dagster/run_key": request.run_key or ""}
        return execute(self.instance, request.with_replaced_attrs(tags=tags))

    def batch(self, batch_id: str) -> ledger.Batch:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return ledger.batch(connection, batch_id)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return connection.execute(statement).fetchall()

    def _bucket(self, variable: str) -> MinioStore:
        client = minio.Minio(
            self.env["MINIO_ENDPOINT"].removeprefix("http://"),
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
            secure=False,
        )
        return MinioStore(client, self.env[variable])


def run_until_killed(env: Mapping[str, str], request: dg.RunRequest, point: str) -> int | None:
    """Run the request in a process of its own up to the point; the process's exit code."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_child, args=(dict(env), request, point), daemon=True)
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"the run did not come to {point} in 120 s")
    return process.exitcode


def _child(env: dict[str, str], request: dg.RunRequest, point: str) -> None:
    os.environ.update(env)
    POINTS[point]()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(BATCHES.name or "", [request.partition_key or ""])
        execute(instance, request)


def _copied() -> None:
    """Copies are in the processed bucket, nothing is committed."""
    from landing import validation

    _after(validation, "reset_sinks")


def _silver_copying() -> None:
    """Records are in a temporary table of an open transaction."""
    from assets.music.silver import intake

    _after(intake, "copy_records")


def _silver_before_commit() -> None:
    from landing.delivery import Delivery

    def make(original: Any) -> Any:
        def done_in(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            if self.sink == "silver_songs":
                _die()

        return done_in

    _replace(Delivery, "done_in", make)


def _first_removal() -> None:
    """One object is gone from raw, the ledger has not been told."""
    _after(MinioStore, "remove")


def _before_index() -> None:
    """Postgres is complete, neither index has begun."""
    from assets.music.search import typesense_songs

    def make(_original: Any) -> Any:
        def ensure(*_args: Any) -> None:
            _die()

        return ensure

    _replace(typesense_songs, "ensure", make)


def _imported() -> None:
    """Documents are in Typesense, the ledger has not been told."""
    from assets.music.search import typesense_songs

    _after(typesense_songs, "write")


def _vectors_upserted() -> None:
    """Some passages are in Milvus, unflushed."""
    from assets.vector_store import VectorStore

    _after(VectorStore, "upsert")


POINTS: dict[str, Callable[[], None]] = {
    "bronze: copied, not committed": _copied,
    "silver: copying": _silver_copying,
    "silver: before the commit": _silver_before_commit,
    "raw: one removed": _first_removal,
    "search: before": _before_index,
    "search: imported": _imported,
    "vectors: upserted": _vectors_upserted,
}
