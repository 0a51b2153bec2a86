"""A shop's database and the domains job over it, on real servers."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg

from assets.domains.settings import DomainsSettings
from definitions import build_defs
from landing.stores.s3 import S3Store
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.s3 import S3Resource
from sensors.summary_batches import summary_batch_sensor

MONTH, BEFORE = "2025-03", "2025-02"

TABLES = """
CREATE TABLE IF NOT EXISTS domain_metrics (
    date date, country text, domain text, transactionrevenue numeric, transactions bigint,
    sessions bigint
);
CREATE TABLE IF NOT EXISTS domain_categories (domain text, category text, country text);
"""


@dataclass
class MonthWorld:
    """The variables of one test; the source's tables are in the test's own database."""

    env: Mapping[str, str]

    def fill(
        self, metrics: Iterable[Sequence[Any]], categories: Iterable[Sequence[Any]] = ()
    ) -> None:
        """Rows as the source has them."""
        with psycopg.connect(self.env["DOMAINS_SOURCE_URL"]) as conn:
            conn.execute(TABLES)
            with conn.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO domain_metrics VALUES (%s, %s, %s, %s, %s, %s)", list(metrics)
                )
                cursor.executemany(
                    "INSERT INTO domain_categories VALUES (%s, %s, %s)", list(categories)
                )

    def run(
        self,
        month: str = MONTH,
        *,
        raises: bool = True,
        assets: Sequence[dg.AssetKey] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """The job, as a person starts it in the UI; of these assets only, where they are given."""
        defs = build_defs(pipelines=["domains"])
        job = defs.resolve_job_def("domains")
        with dg.DagsterInstance.get() as instance:
            return job.execute_in_process(
                partition_key=month,
                instance=instance,
                raise_on_error=raises,
                asset_selection=assets,
            )

    def look(self) -> dg.SensorResult:
        """A tick of the sensor of batches."""
        with dg.DagsterInstance.get() as instance, dg.build_sensor_context(instance) as context:
            result = summary_batch_sensor(
                context,
                postgres=PostgresResource(url=self.env["POSTGRES_URL"]),
                openai=OpenAIResource(
                    base_url=self.env["OPENAI_BASE_URL"],
                    api_key=self.env["OPENAI_API_KEY"],
                    embedding_model="none",
                ),
                domains=DomainsSettings.current(),
            )
        assert isinstance(result, dg.SensorResult)
        return result

    def until_asked(self) -> list[dg.RunRequest]:
        """The runs that the sensor of batches asks for, once it does."""
        end = time.monotonic() + 90
        while time.monotonic() < end:
            if requests := self.look().run_requests:
                return list(requests)
            time.sleep(0.5)
        raise AssertionError("no run was asked for")

    def awaited(self) -> list[str]:
        """The months that wait for answers from batches."""
        return [
            row[0]
            for row in self.query(
                "SELECT to_char(month, 'YYYY-MM') FROM domains.awaited_month ORDER BY month"
            )
        ]

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.env["POSTGRES_URL"]) as conn:
            return conn.execute(statement, values).fetchall()

    def change(self, statement: str) -> None:
        """Change the source."""
        with psycopg.connect(self.env["DOMAINS_SOURCE_URL"]) as conn:
            conn.execute(statement)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in a bucket."""
        s3 = S3Resource(endpoint=self.env["AWS_ENDPOINT_URL_S3"], region="us-east-1")
        with closing(s3.client()) as client:
            store = S3Store(client, bucket)
            keys = [version.key for version in store.list_page("", None, 1000).objects]
            return {key: store.get(key) for key in keys}

    def published(self, month: str = MONTH) -> tuple[dict[str, Any], list[dict[str, str]]]:
        """Manifest and rows, by the pointer."""
        held = self.objects(DomainsSettings.current().output_bucket)
        folder = json.loads(held[f"descriptions/{month}/latest.json"])["folder"]
        text = held[f"{folder}{month}-descriptions.csv"].decode()
        return (
            json.loads(held[f"{folder}manifest.json"]),
            list(csv.DictReader(io.StringIO(text, newline=""))),
        )
