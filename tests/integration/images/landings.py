"""The catalogue and the inventory without a daemon: objects put, ticks evaluated, batches run.

Belongs here: what Dagster's daemon would do with the sensors' answers. Does not: any expectation.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
from psycopg.rows import dict_row

from assets.frame.declared import LandedFiles
from assets.images.pipeline import CATALOGUE, INVENTORY
from definitions import build_defs
from landing.arrival.requests import Request
from landing.arrival.tick import Ended, evaluate_tick
from landing.stores.minio import MinioStore
from migrations.upgrade import upgrade
from resources.minio import MinioResource

#: An object without versions is taken once its second is over, a batch closes after 30.
_LATER = timedelta(seconds=60)


class NoRuns:
    """Dagster without any run."""

    def how_ended(self, _run_key: str) -> Ended | None:
        return None

    def has_succeeded(self, _run_id: str) -> bool:
        return False

    def give_up(self, _run_id: str) -> Ended:
        return "began"


@dataclass
class Landings:
    """A ledger, a store and an instance of the test's own."""

    env: Mapping[str, str]
    _defs: dg.Definitions = field(init=False)
    _cursors: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        upgrade(self.env["POSTGRES_URL"])
        self._defs = build_defs(pipelines=["images"])

    def store(self, variable: str = "IMAGES_PRODUCTS_BUCKET") -> MinioStore:
        return self.bucket(self.env[variable])

    def bucket(self, name: str) -> MinioStore:
        client = MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        ).client()
        return MinioStore(client, name)

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Several side by side, as uploaders do."""
        store = self.store()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: _upload(store, *one), objects.items()))

    def tick(self, files: LandedFiles) -> tuple[Request, ...]:
        """What the sensor requests once it has seen all."""
        places = files.places()
        source = files.source(places.bucket, places.prefix)
        with psycopg.connect(self.env["POSTGRES_URL"], autocommit=True) as connection:
            tick = evaluate_tick(
                source,
                self.bucket(source.bucket),
                connection,
                self._cursors.get(source.name),
                now=lambda: datetime.now(UTC) + _LATER,
                deadline=time.monotonic() + 60,
                clock=time.monotonic,
                runs=NoRuns(),
            )
        self._cursors[source.name] = tick.cursor
        return tuple(tick.requests)

    def run(
        self, files: LandedFiles, request: Request, *, raises: bool = True
    ) -> dg.ExecuteInProcessResult:
        """The run as the sensor asks for it."""
        tags = {"quintet/batch": request.batch_id}
        return self.run_partition(files, request.partition_key, tags, raises=raises)

    def backfill(self, files: LandedFiles, partition: str) -> dg.ExecuteInProcessResult:
        """The whole job on a partition, as a person starts it."""
        return self.run_partition(files, partition, {})

    def run_partition(
        self, files: LandedFiles, partition: str, tags: Mapping[str, str], *, raises: bool = True
    ) -> dg.ExecuteInProcessResult:
        job = self._defs.resolve_job_def(files.job)
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(files.partition_set or "", [partition])
            return job.execute_in_process(
                instance=instance, partition_key=partition, tags=tags, raise_on_error=raises
            )

    def train(self) -> None:
        """The classifier's job."""
        job = self._defs.resolve_job_def("image_classifier")
        with dg.DagsterInstance.get() as instance:
            assert job.execute_in_process(instance=instance).success

    def audit(self) -> dict[str, bool]:
        """The checks over whole tables."""
        job = self._defs.resolve_job_def("images_audit")
        with dg.DagsterInstance.get() as instance:
            return checks(job.execute_in_process(instance=instance))

    def land(self, files: LandedFiles, objects: Mapping[str, bytes]) -> dg.ExecuteInProcessResult:
        """Put them, and run the one batch that they become."""
        self.put(objects)
        (request,) = self.tick(files)
        result = self.run(files, request)
        assert result.success
        return result

    def catalogue(self, text: bytes, name: str = "styles.csv") -> dg.ExecuteInProcessResult:
        return self.land(CATALOGUE, {name: text})

    def images(self, objects: Mapping[str, bytes]) -> dg.ExecuteInProcessResult:
        return self.land(INVENTORY, {f"images/{name}": data for name, data in objects.items()})

    def rows(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        with psycopg.connect(self.env["POSTGRES_URL"], row_factory=dict_row) as connection:
            return connection.execute(statement, arguments or None).fetchall()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            connection.execute(statement)

    def value(self, statement: str, *arguments: Any) -> Any:
        ((value,),) = (row.values() for row in self.rows(statement, *arguments))
        return value

    def counts(self, files: LandedFiles) -> dict[str, int]:
        """Rows by outcome, of all that landed there."""
        names = ("read", "written", "unchanged", "superseded", "rejected")
        columns = ", ".join(f"coalesce(sum(rows_{name}), 0)::int AS {name}" for name in names)
        (found,) = self.rows(
            f"SELECT {columns} FROM landing.object_version WHERE source = %s", files.source_name
        )
        return found


def _upload(store: MinioStore, key: str, data: bytes) -> None:
    store.upload(key, io.BytesIO(data), size=len(data))


def metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """What the asset of that name showed."""
    found = {
        event.asset_key.path[-1]: event.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    return {name: value.value for name, value in found[asset].items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Checks by ``asset.name``, and whether they passed."""
    return {
        f"{one.asset_key.path[-1]}.{one.check_name}": one.passed
        for one in result.get_asset_check_evaluations()
    }
