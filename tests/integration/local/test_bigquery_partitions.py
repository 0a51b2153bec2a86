"""The BigQuery server refuses what changes, or leaves, more partitions than BigQuery allows."""

from __future__ import annotations

import io
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest
from google.api_core.exceptions import BadRequest, Forbidden
from google.cloud.bigquery import Client, LoadJobConfig, SourceFormat

from tests.integration.local.keepers import bigquery_client

pytestmark = pytest.mark.servers("bigquery")

FIRST = date(1990, 1, 1)
#: https://cloud.google.com/bigquery/quotas#partitioned_tables
A_JOB, A_TABLE = 4_000, 10_000


@pytest.fixture
def table(env: dict[str, str]) -> tuple[Client, str]:
    client, dataset = bigquery_client(env), env["CAMPAIGNS_DATASET"]
    client.create_dataset(dataset, exists_ok=True)
    client.query_and_wait(f"CREATE TABLE {dataset}.daily (day DATE, n INT64) PARTITION BY day")
    return client, f"{client.project}.{dataset}.daily"


def days(first: int, count: int) -> str:
    last = FIRST + timedelta(days=first + count - 1)
    return (
        f"SELECT day, 1 AS n FROM UNNEST(GENERATE_DATE_ARRAY("
        f"'{FIRST + timedelta(days=first)}', '{last}')) AS day"
    )


def add(client: Client, name: str, first: int, count: int) -> int | None:
    job = client.query(
        f"MERGE `{name}` AS t USING ({days(first, count)}) AS s ON t.day = s.day"
        " WHEN NOT MATCHED THEN INSERT (day, n) VALUES (s.day, s.n)"
    )
    job.result()
    return job.num_dml_affected_rows


def rows(client: Client, name: str) -> int:
    (row,) = client.query_and_wait(f"SELECT COUNT(*) FROM `{name}`")
    return int(row[0])


def load(client: Client, name: str, count: int) -> Any:
    frame = pl.DataFrame({"day": [FIRST + timedelta(days=n) for n in range(count)]})
    buffer = io.BytesIO()
    frame.with_columns(pl.lit(1).alias("n")).write_parquet(buffer)
    buffer.seek(0)
    config = LoadJobConfig(source_format=SourceFormat.PARQUET, write_disposition="WRITE_TRUNCATE")
    return client.load_table_from_file(buffer, name, job_config=config)


def test_a_statement_changes_so_many_partitions_and_no_more(table: tuple[Client, str]) -> None:
    client, name = table
    assert add(client, name, 0, A_JOB) == A_JOB
    with pytest.raises(BadRequest) as refused:
        add(client, name, 0, 2 * A_JOB + 1)
    assert refused.value.errors[0]["reason"] == "invalidQuery"
    assert refused.value.errors[0]["message"] == (
        "Too many partitions produced by query, allowed 4000, "
        "query produces at least 4001 partitions"
    )
    assert rows(client, name) == A_JOB
    # Of a table that spans more, a statement may change some.
    assert add(client, name, 0, 2 * A_JOB) == A_JOB
    with pytest.raises(BadRequest, match="allowed 4000"):
        client.query(f"DELETE FROM `{name}` WHERE n = 1").result()
    assert rows(client, name) == 2 * A_JOB
    client.query_and_wait(f"DELETE FROM `{name}` WHERE day < '1991-01-01'")
    assert rows(client, name) == 2 * A_JOB - 365


def test_a_table_has_so_many_partitions_and_no_more(table: tuple[Client, str]) -> None:
    client, name = table
    for first in range(0, A_TABLE, 2_500):
        add(client, name, first, 2_500)
    with pytest.raises(Forbidden, match="Number of partitions") as refused:
        add(client, name, A_TABLE, 1)
    assert refused.value.errors[0]["reason"] == "quotaExceeded"
    assert rows(client, name) == A_TABLE
    client.query_and_wait(f"INSERT INTO `{name}` (day, n) VALUES ('1990-01-01', 2)")
    assert rows(client, name) == A_TABLE + 1


def test_a_load_job_changes_so_many_partitions_and_no_more(table: tuple[Client, str]) -> None:
    client, name = table
    with pytest.raises(BadRequest, match="allowed 4000") as refused:
        load(client, name, A_JOB + 1).result()
    assert refused.value.errors[0]["reason"] == "invalid"
    assert rows(client, name) == 0
    load(client, name, A_JOB).result()
    assert rows(client, name) == A_JOB
