"""What the launcher corrects in the emulator, and loads from the bucket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack, servers_python
from tests import processes
from tests.integration.local.keepers import KEEPERS, bigquery_client

Env = dict[str, str]
APPENDS, ROWS_PER_APPEND = 40, 50


class Worker(threading.Thread):
    """Runs ``work`` at once; keeps what it raised."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self.failure: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - shown by the test's own thread
            self.failure = error


def append_rows(env: Env, table: str, appends: int) -> None:
    """Append through the Storage Write API's default stream, one request at a time."""
    import grpc
    from google.cloud import bigquery_storage_v1 as storage
    from google.cloud.bigquery_storage_v1 import types
    from google.cloud.bigquery_storage_v1.services.big_query_write.transports import (
        BigQueryWriteGrpcTransport,
    )
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto(
        name="n",
        number=1,
        type=descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
        label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
    )
    row_type = descriptor_pb2.DescriptorProto(name="Row", field=[field])
    file = descriptor_pb2.FileDescriptorProto(
        name="row.proto", package="t", syntax="proto2", message_type=[row_type]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    row_class = message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Row"))

    def requests() -> Any:
        for number in range(appends):
            rows = [
                row_class(n=number * ROWS_PER_APPEND + i).SerializeToString()
                for i in range(ROWS_PER_APPEND)
            ]
            data = types.AppendRowsRequest.ProtoData(rows=types.ProtoRows(serialized_rows=rows))
            if number == 0:
                data.writer_schema = types.ProtoSchema(proto_descriptor=row_type)
            yield types.AppendRowsRequest(write_stream=f"{table}/streams/_default", proto_rows=data)

    channel = grpc.insecure_channel(env["BIGQUERY_GRPC_ENDPOINT"])
    client = storage.BigQueryWriteClient(transport=BigQueryWriteGrpcTransport(channel=channel))
    for response in client.append_rows(requests(), timeout=60):
        assert not response.error.message
    channel.close()


@pytest.mark.servers("bigquery")
def test_queries_and_appends_that_overlap_do_not_lock_up(env: Env) -> None:
    """Two appenders, two MERGE and query loops: the stock emulator stops answering for good."""
    client = bigquery_client(env)
    dataset = env["CAMPAIGNS_DATASET"]
    client.create_dataset(dataset)
    for name in ("raw_a", "raw_b", "merged_a", "merged_b"):
        client.query_and_wait(f"CREATE TABLE {dataset}.{name} (n INT64)")
    tables = f"projects/{env['GOOGLE_CLOUD_PROJECT']}/datasets/{dataset}/tables"
    done = threading.Event()
    rounds = {"a": 0, "b": 0}

    def merge(name: str) -> None:
        own = bigquery_client(env)
        while not done.is_set():
            own.query_and_wait(
                f"MERGE {dataset}.merged_{name} t USING (SELECT DISTINCT n FROM "
                f"{dataset}.raw_{name}) s ON t.n = s.n WHEN NOT MATCHED THEN INSERT (n) VALUES (n)"
            )
            own.query_and_wait(f"SELECT n, COUNT(*) FROM {dataset}.raw_{name} GROUP BY n")
            rounds[name] += 1

    # Daemons, not a pool: after a lock-up their calls never return.
    appenders = [
        Worker(partial(append_rows, env, f"{tables}/raw_{name}", APPENDS)) for name in "ab"
    ]
    mergers = [Worker(partial(merge, name)) for name in "ab"]
    deadline = time.monotonic() + 40
    for appender in appenders:
        appender.join(deadline - time.monotonic())
    done.set()
    for merger in mergers:
        merger.join(max(5.0, deadline - time.monotonic()))
    workers = appenders + mergers
    assert not any(worker.is_alive() for worker in workers), "the server is locked up"
    assert [worker.failure for worker in workers if worker.failure] == []
    assert min(rounds.values()) >= 2
    total = APPENDS * ROWS_PER_APPEND
    for name in "ab":
        rows = client.query_and_wait(
            f"SELECT COUNT(*), COUNT(DISTINCT n), MIN(n), MAX(n) FROM {dataset}.raw_{name}"
        )
        assert [tuple(row) for row in rows] == [(total, total, 0, total - 1)]


@pytest.mark.servers("bigquery", "gcs")
def test_objects_load_from_the_bucket(env: Env) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery, storage

    bucket = storage.Client(
        project=env["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]},
    ).bucket(env["CAMPAIGNS_BUCKET"])
    bucket.blob("load/words.csv").upload_from_string("word,n\na,1\nb,2\n")
    client = bigquery_client(env)
    dataset = env["CAMPAIGNS_DATASET"]
    client.create_dataset(dataset)
    client.query_and_wait(f"CREATE TABLE {dataset}.words (word STRING, n INT64)")
    job = client.load_table_from_uri(
        f"gs://{env['CAMPAIGNS_BUCKET']}/load/words.csv",
        f"{client.project}.{dataset}.words",
        job_config=bigquery.LoadJobConfig(source_format="CSV", skip_leading_rows=1),
    )
    job.result(timeout=30)
    rows = client.query_and_wait(f"SELECT word, n FROM {dataset}.words ORDER BY n")
    assert [tuple(row) for row in rows] == [("a", 1), ("b", 2)]


@pytest.mark.servers("bigquery", "gcs")
def test_a_load_job_with_a_bad_row_is_refused_as_a_whole(env: Env) -> None:
    from google.api_core.exceptions import BadRequest
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery, storage

    bucket = storage.Client(
        project=env["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]},
    ).bucket(env["CAMPAIGNS_BUCKET"])
    bucket.blob("load/good.csv").upload_from_string("word,n\na,1\n")
    bucket.blob("load/late.csv").upload_from_string("word,n\nb,2\nc,many\n")
    client = bigquery_client(env)
    dataset = env["CAMPAIGNS_DATASET"]
    client.create_dataset(dataset, exists_ok=True)
    client.query_and_wait(f"CREATE TABLE {dataset}.held (word STRING, n INT64)")
    client.query_and_wait(f"INSERT INTO {dataset}.held (word, n) VALUES ('before', 0)")
    uris = [f"gs://{env['CAMPAIGNS_BUCKET']}/load/{name}.csv" for name in ("good", "late")]

    def load(disposition: str, uris: list[str]) -> bigquery.LoadJob:
        return client.load_table_from_uri(
            uris,
            f"{client.project}.{dataset}.held",
            job_config=bigquery.LoadJobConfig(
                source_format="CSV", skip_leading_rows=1, write_disposition=disposition
            ),
        )

    def held() -> list[tuple[str, int]]:
        rows = client.query_and_wait(f"SELECT word, n FROM {dataset}.held ORDER BY n")
        return [tuple(row) for row in rows]

    for disposition in ("WRITE_TRUNCATE", "WRITE_APPEND"):
        job = load(disposition, uris)
        with pytest.raises(BadRequest) as refused:
            job.result(timeout=30)
        assert (job.state, job.error_result["reason"]) == ("DONE", "invalid")
        assert job.error_result["location"].startswith("gs://")
        assert "many" in job.error_result["message"]
        assert refused.value.errors[0]["reason"] == "invalid"
        assert held() == [("before", 0)]
    load("WRITE_APPEND", uris[:1]).result(timeout=30)
    load("WRITE_TRUNCATE", uris[:1]).result(timeout=30)
    assert held() == [("a", 1)]


@pytest.mark.servers("bigquery")
@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("1e308", True),
        ("-1.5E+12", True),
        ("9" * 308, True),
        ('"1e400 and NaN"', True),
        ("1e400", False),
        ("-1E+400", False),
        ("9" * 400, False),
        ("9" * 250 + "e99", False),
        ("NaN", False),
        ("-Infinity", False),
        ("inf", False),
    ],
)
def test_json_has_no_number_that_no_float_holds(env: Env, number: str, kept: bool) -> None:
    from google.cloud import bigquery

    text = f'{{"a": 1, "b": [{number}]}}'
    config = bigquery.QueryJobConfig(
        query_parameters=[bigquery.ScalarQueryParameter("text", "STRING", text)]
    )
    client = bigquery_client(env)
    for function in ("SAFE.PARSE_JSON(@text)", "SAFE.PARSE_JSON(@text, wide_number_mode=>'round')"):
        query = f"SELECT {function} IS NOT NULL AS kept"
        (row,) = client.query_and_wait(query, job_config=config)
        assert row.kept == kept


@pytest.mark.servers("bigquery")
def test_an_added_column_is_shown(env: Env) -> None:
    from google.cloud import bigquery

    client, dataset = bigquery_client(env), env["CAMPAIGNS_DATASET"]
    client.create_dataset(dataset)
    name = f"{client.project}.{dataset}.grown"
    declared = bigquery.SchemaField("n", "INTEGER", "REQUIRED", description="Which.")
    client.create_table(bigquery.Table(name, schema=[declared]))
    client.query_and_wait(f"ALTER TABLE `{name}` ADD COLUMN IF NOT EXISTS `word` STRING")
    client.query_and_wait(f"ALTER TABLE `{name}` ADD COLUMN sizes ARRAY<FLOAT64>")
    kept, word, sizes = client.get_table(name).schema
    assert kept == declared
    assert (word.name, word.field_type, word.mode) == ("word", "STRING", "NULLABLE")
    assert (sizes.name, sizes.field_type, sizes.mode) == ("sizes", "FLOAT", "REPEATED")
    # What writes by the schema of the catalog sees it, too.
    assert client.insert_rows_json(name, [{"n": 1, "word": "a", "sizes": [1.5]}]) == []
    (row,) = client.query_and_wait(f"SELECT * FROM `{name}`")
    assert tuple(row) == (1, "a", [1.5])


def test_writes_leave_no_copies_of_the_table(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state")
    try:
        assert [result.error for result in stack.up(["bigquery"])] == [None]
        for number in range(3):
            KEEPERS["bigquery"].write(stack.env(), f"word{number}")
        stack.down()
        code = (
            "import duckdb, sys\n"
            "rows = duckdb.connect(sys.argv[1], read_only=True).execute(\n"
            "    'SELECT schema_name, table_name FROM duckdb_tables()').fetchall()\n"
            "print('\\n'.join('.'.join(row) for row in rows))"
        )
        tables = processes.output_of(
            [servers_python(), "-c", code, stack.root / "data/bigquery/bqemulator.duckdb"]
        ).splitlines()
        assert "quintet-local__kept.words" in tables
        assert [name for name in tables if name.startswith("_bqemulator_snapshots.")] == []
    finally:
        stack.reset()
