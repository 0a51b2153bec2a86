"""History files on their way from the bucket into BigQuery: the real assets over real servers.

Expected figures come from the samples' manifest, never from code under test.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from assets.reading.history.assets import content_meta_history, history_rows, interaction_history
from assets.reading.pipeline import HISTORY
from assets.reading.settings import ReadingSettings
from assets.reading.tables import warehouse_of
from landing.arrival.tick import Ended, evaluate_tick
from landing.stores.gcs import GcsStore
from resources.bigquery import BigQueryResource, run
from resources.gcs import GcsResource
from resources.postgres import PostgresResource

ASSETS = (history_rows, interaction_history, content_meta_history)


def settings(env: Mapping[str, str]) -> ReadingSettings:
    """Of a test's own bucket and dataset; no topic is used."""
    return ReadingSettings(
        dataset=env["READING_DATASET"], bucket=env["READING_BUCKET"], prefix=env["READING_PREFIX"],
        quarantine_bucket=env["QUARANTINE_BUCKET"],
        interaction_topic="-", interaction_subscription="-", interaction_dead_topic="-",
        meta_topic="-", meta_subscription="-", meta_dead_topic="-",
        stream="session", merge_milliseconds=0, session_seconds=30, max_attempts=5,
    )  # fmt: skip


class _NoRuns:
    def how_ended(self, _run_key: str) -> Ended | None:
        return "never began"

    def has_succeeded(self, _run_id: str) -> bool:
        return False

    def give_up(self, _run_id: str) -> Ended:
        return "began"


@dataclass
class HistoryWorld:
    """The servers of one test, a Dagster instance, and what the tables hold."""

    instance: dg.DagsterInstance
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        self.settings = settings(self.env)
        self.postgres = PostgresResource(url=self.env["POSTGRES_URL"])
        self.gcs = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"])
        self.bigquery = BigQueryResource(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            api_endpoint=self.env["BIGQUERY_API_ENDPOINT"],
        )
        self.store = GcsStore(self.gcs.client(), self.settings.bucket)
        self.warehouse = warehouse_of(self.bigquery.client(), self.settings.dataset)
        self._cursor: str | None = None

    def put(self, folder: Path, *names: str) -> None:
        """Upload files of a folder, all when none is named."""
        for path in sorted(folder.iterdir()):
            if not names or path.name in names:
                self.store.put(self.settings.prefix + path.name, path.read_bytes())

    def tick(self) -> str:
        """Look at the bucket as the sensor does; the batch that it asks for."""
        source = HISTORY.source(self.settings.bucket, self.settings.prefix)
        with self.postgres.connect(autocommit=True) as connection:
            tick = evaluate_tick(
                source, self.store, connection, self._cursor,
                now=lambda: datetime.now(UTC), deadline=time.monotonic() + 30,
                clock=time.monotonic, runs=_NoRuns(),
            )  # fmt: skip
        self._cursor = tick.cursor
        (request,) = tick.requests
        self.instance.add_dynamic_partitions(HISTORY.partition_set or "", [request.batch_id])
        return request.batch_id

    def load(self, batch_id: str, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
        """Run the batch's assets, all when none is named."""
        return dg.materialize(
            list(assets or ASSETS),
            partition_key=batch_id,
            instance=self.instance,
            raise_on_error=False,
            resources={
                "postgres": self.postgres,
                "gcs": self.gcs,
                "bigquery": self.bigquery,
                "reading": self.settings,
            },
        )

    def events(self) -> list[tuple[Any, ...]]:
        """Every row of user_interaction, with its values alone, in order."""
        rows = run(
            self.warehouse.client,
            self.warehouse.sql(
                "SELECT user_id, content_id, read_percent, updated_at FROM `{user_interaction}`"
            ),
        )
        return sorted(tuple(row.values()) for row in rows)

    def categories(self) -> list[tuple[Any, ...]]:
        """Every row of content_meta, with its values alone, in order."""
        rows = run(
            self.warehouse.client,
            self.warehouse.sql("SELECT content_id, category_name FROM `{content_meta}`"),
        )
        return sorted(tuple(row.values()) for row in rows)

    def ledger(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a query in Postgres."""
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            return conn.execute(sql, parameters).fetchall()
