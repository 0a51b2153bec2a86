"""What the campaigns pipeline costs on top of its clients.

On the same servers, in the same run: the whole pipeline for one large file, four bare client
loaders side by side that write the same rows, vectors and edges in the same batch sizes, the same
content delivered again under another key, and one user's recommendation against the calls it is
made of. Every repetition has databases, buckets, collections and a dataset of its own. Run:

    python -m benchmarks.campaigns [--rows 200000 --repetitions 3] [--stack DIRECTORY]

Without ``--stack`` the servers are started in a temporary directory and stopped at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.stack import Stack
from samples.campaigns import Shape
from samples.campaigns import write as write_sample
from tests.servers import isolated_environment, start

ROOT = Path(__file__).parents[1]
SERVICES = ["postgres", "gcs", "bigquery", "mongo", "bolt", "milvus", "openai"]
LOADERS = ("mongodb", "milvus", "neo4j", "bigquery")
ASKED_USERS = 30
K = 5

GOAL_THROUGHPUT, GOAL_UNCHANGED, GOAL_ANSWER = 0.8, 20.0, 1.2


@dataclass
class Run:
    """One run of the job. Seconds; ``steps`` from their start to their end."""

    from_launch: float
    from_start: float
    rows: dict[str, int]
    sinks: dict[str, float]
    steps: dict[str, tuple[float, float]]


@dataclass
class Repetition:
    """What one repetition measured, in seconds."""

    first: Run
    again: Run
    floor: dict[str, float]
    answer: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bare_given_vector: list[float] = field(default_factory=list)

    @property
    def floor_seconds(self) -> float:
        """Until the slowest loader is done."""
        return max(self.floor.values())


# -- the pipeline ------------------------------------------------------------------------------


def land(path: Path, key: str) -> dict[str, Any]:
    """Put the file and take one tick of the sensor's core; what the run is to be told."""
    import dagster as dg

    from assets.campaigns.pipeline import BATCHES
    from assets.campaigns.source import campaigns_source
    from jobs.executor import in_process, multiprocess
    from landing.stores.gcs import GcsStore
    from landing.tick import evaluate_tick
    from resources.gcs import GcsResource
    from resources.postgres import PostgresResource
    from sensors.landing import InstanceRuns

    env = os.environ
    client = GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()
    bucket = client.bucket(env["CAMPAIGNS_BUCKET"])
    bucket.blob(env["CAMPAIGNS_PREFIX"] + key).upload_from_filename(str(path))
    source = campaigns_source(bucket.name, env["CAMPAIGNS_PREFIX"])
    with (
        dg.DagsterInstance.get() as instance,
        PostgresResource(url=env["POSTGRES_URL"]).connect(autocommit=True) as connection,
    ):
        tick = evaluate_tick(
            source,
            GcsStore(client, bucket.name),
            connection,
            None,
            now=lambda: datetime.now(UTC),
            deadline=time.monotonic() + 30,
            clock=time.monotonic,
            runs=InstanceRuns(instance),
        )
        (request,) = tick.requests
        instance.add_dynamic_partitions(BATCHES.name or "", [request.batch_id])
    client.close()
    return {
        "batch": request.batch_id,
        "large": request.large,
        "run_config": multiprocess() if request.large else in_process(),
    }


def run_batch(request: Mapping[str, Any]) -> None:
    """In a process of its own: the job, without the recommendations, as a run worker runs it."""
    import dagster as dg
    from dagster._core.definitions.reconstruct import ReconstructableRepository

    from assets.batch_step import HOLDS_BATCH
    from assets.campaigns.pipeline import PIPELINE, SINKS

    repository = ReconstructableRepository.for_module("definitions", "defs", str(ROOT))
    keys = {name: dg.AssetKey([PIPELINE, name]) for name in ("events", *SINKS)}
    job = repository.get_reconstructable_job(PIPELINE).get_subset(
        asset_selection=frozenset(keys.values()),
        # Named, for a selection of assets would bring the hourly audits with it.
        asset_check_selection=frozenset(
            [dg.AssetCheckKey(keys[name], HOLDS_BATCH) for name in SINKS]
            + [dg.AssetCheckKey(keys["events"], n) for n in ("rows_balance", "rejected_share")]
        ),
    )
    with dg.DagsterInstance.get() as instance:
        result = dg.execute_job(
            job,
            instance=instance,
            run_config=request["run_config"],
            tags={"dagster/partition": request["batch"]},
        )
    print(json.dumps({"run_id": result.run_id, "success": result.success}))


def pipeline(path: Path, key: str, log: Path) -> Run:
    """Land the file and run its batch; the whole time ends when the last step has ended."""
    request = land(path, key)
    launched = time.time()
    command = [sys.executable, "-m", "benchmarks.campaigns", "--run-batch", json.dumps(request)]
    with log.open("ab") as stderr:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, check=False)
    if done.returncode:
        raise RuntimeError(f"the run failed, see {log}")
    answer = json.loads(done.stdout.splitlines()[-1])
    if not answer["success"]:
        raise RuntimeError(f"run {answer['run_id']} failed, see {log}")
    return _measured(answer["run_id"], request["batch"], launched)


def _measured(run_id: str, batch_id: str, launched: float) -> Run:
    import dagster as dg

    from resources.postgres import PostgresResource

    with dg.DagsterInstance.get() as instance:
        stats = instance.get_run_step_stats(run_id)
        record = instance.get_run_record_by_id(run_id)
    if record is None or record.start_time is None:
        raise RuntimeError(f"run {run_id} never started")
    began = record.start_time
    with PostgresResource(url=os.environ["POSTGRES_URL"]).connect() as connection:
        state = connection.execute(
            "SELECT state FROM landing.batch WHERE batch_id = %s", [batch_id]
        ).fetchone()
        sinks = connection.execute(
            "SELECT sink, seconds FROM landing.batch_sink WHERE batch_id = %s ORDER BY sink",
            [batch_id],
        ).fetchall()
        counts = connection.execute(
            "SELECT sum(rows_read), sum(rows_written), sum(rows_unchanged)"
            " FROM landing.object_version WHERE batch_id = %s",
            [batch_id],
        ).fetchone()
    if state != ("loaded",):
        raise RuntimeError(f"batch {batch_id} is {state}")
    steps = {
        step.step_key.removeprefix("campaigns__"): (step.start_time - began, step.end_time - began)
        for step in stats
        if step.start_time and step.end_time
    }
    end = max(end for _, end in steps.values()) + began
    names = ("read", "written", "unchanged")
    return Run(
        from_launch=end - launched,
        from_start=end - began,
        rows={name: int(count) for name, count in zip(names, counts or (), strict=True)},
        sinks={sink: float(seconds or 0.0) for sink, seconds in sinks},
        steps=steps,
    )


# -- the floor ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FloorData:
    """What the bare loaders are given: rows, profiles and participations as Parquet, vectors as
    one array with a row per distinct message."""  # noqa: D205, D209

    folder: str

    def frame(self, name: str) -> Any:
        """rows, profiles or participations."""
        import polars as pl

        return pl.read_parquet(f"{self.folder}/{name}.parquet")

    def vectors(self, name: str) -> Any:
        """Of the messages (``vectors``) or of the users (``profiles``)."""
        import numpy as np

        return np.load(f"{self.folder}/{name}.npy")


def prepare_floor(csv: Path, folder: Path) -> FloorData:
    """Everything that the pipeline computes, computed before any clock runs."""
    import numpy as np
    import polars as pl

    from assets.campaigns.embeddings import Space, embed
    from resources.openai import OpenAIResource

    env = os.environ
    frame = pl.read_csv(csv, schema_overrides={"timestamp": pl.String}, try_parse_dates=False)
    text = frame.get_column("message").drop_nulls().unique().sort().to_list()
    number = {message: index for index, message in enumerate(text)}
    digest = [hashlib.md5(key.encode()).hexdigest() for key in frame["record_id"]]
    frame = frame.with_columns(
        pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S%.6f", time_zone="UTC"),
        pl.Series("row_hash", digest),
        pl.col("message").replace_strict(number, default=None, return_dtype=pl.Int64).alias("text"),
        pl.lit(f"gs://{env['CAMPAIGNS_BUCKET']}/campaigns/events.csv#1").alias("source"),
        pl.lit(datetime.now(UTC)).dt.cast_time_unit("us").alias("ingested_at"),
        pl.int_range(2, pl.len() + 2).alias("line"),
    )
    frame.write_parquet(folder / "rows.parquet")
    openai = OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
    )
    with openai.client() as client:
        raw = [
            vector
            for at in range(0, len(text), 128)
            for vector in embed(client, Space(openai.embedding_model), text[at : at + 128])[0]
        ]
    vectors = np.stack([np.frombuffer(vector, dtype="<f4") for vector in raw])
    np.save(folder / "vectors.npy", vectors)
    said = frame.drop_nulls("text").group_by("user_id").agg("text").sort("user_id")
    means = np.stack([vectors[texts.to_list()].mean(axis=0) for texts in said["text"]])
    np.save(folder / "profiles.npy", means.astype("f4"))
    said.select("user_id", pl.col("text").list.len().alias("messages")).write_parquet(
        folder / "profiles.parquet"
    )
    frame.filter(pl.col("campaign").is_not_null()).group_by("user_id", "campaign").agg(
        pl.len().alias("events"),
        pl.col("timestamp").min().alias("first_seen"),
        pl.col("timestamp").max().alias("last_seen"),
    ).write_parquet(folder / "participations.parquet")
    return FloorData(str(folder))


def load_mongodb(data: FloorData) -> Callable[[], None]:
    """bulk_write of the same documents."""
    import polars as pl
    from pymongo import ReplaceOne

    from assets.campaigns.raw_messages import BATCH_ROWS, FIELDS
    from resources.mongo import MongoResource, durable

    env = os.environ
    rows = data.frame("rows").select(
        *FIELDS, pl.col("timestamp").dt.epoch("us").alias("timestamp_us")
    )
    client = MongoResource(uri=env["MONGO_URI"]).client()
    collection = durable(client, env["CAMPAIGNS_MONGO_DATABASE"], env["CAMPAIGNS_MONGO_COLLECTION"])
    client.admin.command("ping")

    def load() -> None:
        for part in rows.iter_slices(BATCH_ROWS):
            documents = ({"_id": r["record_id"], **r} for r in part.iter_rows(named=True))
            collection.bulk_write(
                [ReplaceOne({"_id": doc["_id"]}, doc, upsert=True) for doc in documents],
                ordered=False,
            )

    return load


def load_milvus(data: FloorData) -> Callable[[], None]:
    """Upsert of the messages' vectors, then of the users', and a flush of each."""
    from assets.campaigns import message_embeddings, profiles
    from assets.campaigns.embeddings import Space
    from assets.campaigns.vector_store import BATCH_ROWS
    from resources.milvus import MilvusResource

    env = os.environ
    client = MilvusResource(uri=env["MILVUS_URI"], token=env.get("MILVUS_TOKEN", "")).client()
    space = Space(env["OPENAI_EMBEDDING_MODEL"])
    of_messages, of_users = env["CAMPAIGNS_MILVUS_MESSAGES"], env["CAMPAIGNS_MILVUS_PROFILES"]
    message_embeddings.store(client, of_messages, space).ensure()
    profiles.store(client, of_users, space).ensure()
    rows = data.frame("rows").drop_nulls("text").select("record_id", "user_id", "row_hash", "text")
    users = list(data.frame("profiles").iter_rows())
    vectors, means = data.vectors("vectors"), data.vectors("profiles")

    def load() -> None:
        for part in rows.iter_slices(BATCH_ROWS):
            client.upsert(
                of_messages,
                [
                    {"record_id": key, "user_id": user, "row_hash": digest, "vector": vectors[text]}
                    for key, user, digest, text in part.iter_rows()
                ],
            )
        client.flush(of_messages)
        for at in range(0, len(users), BATCH_ROWS):
            client.upsert(
                of_users,
                [
                    {"user_id": user, "row_hash": "0" * 32, "changed_in": "20260101T000000Z-0001",
                     "message_count": count, "vector": means[at + index]}
                    for index, (user, count) in enumerate(users[at : at + BATCH_ROWS])
                ],
            )  # fmt: skip
        client.flush(of_users)

    return load


MERGE_EVENTS = """
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MERGE (e:Event {record_id: row.record_id})
SET e.timestamp = row.timestamp, e.row_hash = row.row_hash
MERGE (u)-[:PERFORMED]->(e)
"""
MERGE_PART_OF = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
MATCH (c:Campaign {campaign: row.campaign})
MERGE (e)-[:PART_OF]->(c)
"""


def load_neo4j(data: FloorData, *, create: bool = True) -> Callable[[], None]:
    """The same nodes and edges.

    Nodes with MERGE. ``create``: events and their edges with CREATE, which is faster here than
    the MERGE that a loader needs which may run twice.
    """
    from assets.campaigns import graph
    from resources.neo4j import Neo4jResource

    env = os.environ
    resource = Neo4jResource(
        uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"],
        database=env["NEO4J_DATABASE"],
    )  # fmt: skip
    target = graph.Graph(resource.driver(), resource.database)
    target.ensure()
    rows = data.frame("rows").select("record_id", "user_id", "campaign", "timestamp", "row_hash")
    users = rows["user_id"].unique().sort().to_list()
    campaigns = rows["campaign"].drop_nulls().unique().sort().to_list()
    pairs = data.frame("participations")

    def load() -> None:
        for at in range(0, len(users), graph.BATCH_ROWS):
            target.run(graph.MERGE_USERS, users[at : at + graph.BATCH_ROWS])
        target.run(graph.MERGE_CAMPAIGNS, campaigns)
        for part in rows.iter_slices(graph.BATCH_ROWS):
            events = part.to_dicts()
            in_campaign = [event for event in events if event["campaign"]]
            if create:
                target.run(graph.CREATE_EVENTS, [e for e in events if not e["campaign"]])
                target.run(graph.CREATE_CAMPAIGN_EVENTS, in_campaign)
            else:
                target.run(MERGE_EVENTS, events)
                target.run(MERGE_PART_OF, in_campaign)
        for part in pairs.iter_slices(graph.BATCH_ROWS):
            target.run(graph.SET_PARTICIPATION, part.to_dicts())

    return load


def load_bigquery(data: FloorData) -> Callable[[], None]:
    """One load job into staging and one MERGE."""
    import io

    import polars as pl
    from google.cloud import bigquery

    from assets.campaigns.analytics import MERGE, STAGING, Warehouse
    from resources.bigquery import BigQueryResource, run

    env = os.environ
    client = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    ).client()
    warehouse = Warehouse(client, env["CAMPAIGNS_DATASET"])
    warehouse.ensure()
    rows = data.frame("rows").select(
        "record_id", "user_id", "message", "campaign", "timestamp", "row_hash", "source",
        "ingested_at", pl.lit("batch").alias("batch_id"), pl.lit(1, pl.Int64).alias("seq"),
        pl.col("line").cast(pl.Int64),
    )  # fmt: skip
    days = rows["timestamp"].dt.truncate("1d").unique().sort().to_list()

    def load() -> None:
        file = io.BytesIO()
        rows.write_parquet(file, compression="zstd", use_pyarrow=True)
        file.seek(0)
        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.PARQUET,
            write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
        )
        client.load_table_from_file(file, warehouse.table(STAGING), job_config=config).result()
        run(
            client,
            warehouse.sql(MERGE),
            [
                bigquery.ScalarQueryParameter("batch_id", "STRING", "batch"),
                bigquery.ArrayQueryParameter("days", "TIMESTAMP", days),
            ],
        )

    return load


def _loader(name: str, data: FloorData, barrier: Any, results: Any) -> None:
    prepare = {
        "mongodb": load_mongodb,
        "milvus": load_milvus,
        "neo4j": load_neo4j,
        "bigquery": load_bigquery,
    }[name]
    try:
        load = prepare(data)
        barrier.wait(120)
        began = time.monotonic()
        load()
        results.put((name, time.monotonic() - began, None))
    except BaseException as error:
        results.put((name, 0.0, f"{type(error).__name__}: {error}"))
        barrier.abort()
        raise


def floor(data: FloorData) -> dict[str, float]:
    """Seconds of each loader, all started at the same moment, connected and with data in memory."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(len(LOADERS)), context.Queue()
    processes = [
        context.Process(target=_loader, args=(name, data, barrier, results)) for name in LOADERS
    ]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    if errors := [f"{name}: {error}" for name, _, error in found if error]:
        raise RuntimeError("; ".join(errors))
    return {name: seconds for name, seconds, _ in found}


# -- one answer --------------------------------------------------------------------------------


def answers(repetition: Repetition) -> None:
    """recommend() for the most and less active users in turn with the bare calls."""
    import numpy as np
    from google.cloud.bigquery import ArrayQueryParameter

    from assets.campaigns import recommendations
    from assets.campaigns.analytics import Warehouse
    from assets.campaigns.graph import Graph
    from resources.bigquery import BigQueryResource, run
    from resources.milvus import MilvusResource
    from resources.neo4j import Neo4jResource
    from resources.postgres import PostgresResource

    env = os.environ
    with PostgresResource(url=env["POSTGRES_URL"]).connect() as connection:
        ranked = connection.execute(
            "SELECT user_id FROM campaigns.record WHERE message_hash IS NOT NULL"
            " GROUP BY user_id ORDER BY count(*) DESC, user_id"
        ).fetchall()
    step = max(1, len(ranked) // ASKED_USERS)
    users = [user for (user,) in ranked[::step]][:ASKED_USERS]
    with (
        contextlib.closing(
            MilvusResource(uri=env["MILVUS_URI"], token=env.get("MILVUS_TOKEN", "")).client()
        ) as milvus,
        Neo4jResource(
            uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"],
            database=env["NEO4J_DATABASE"],
        ).driver() as driver,
        BigQueryResource(
            project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
        ).client() as bigquery,
    ):  # fmt: skip
        profiles = env["CAMPAIGNS_MILVUS_PROFILES"]
        graph = Graph(driver, env["NEO4J_DATABASE"])
        stores = recommendations.Stores(
            milvus, profiles, graph, Warehouse(bigquery, env["CAMPAIGNS_DATASET"])
        )
        frequencies = stores.warehouse.sql(recommendations.FREQUENCIES)

        def vector_of(user: str) -> Any:
            (row,) = milvus.query(
                profiles, filter=f'user_id == "{user}"', output_fields=["vector"],
                consistency_level="Strong",
            )  # fmt: skip
            return np.asarray(row["vector"], dtype="f4")

        def bare(user: str, vector: Any) -> list[str]:
            limit = recommendations.FIRST_LIMIT
            while True:
                (hits,) = milvus.search(
                    profiles, data=[vector], limit=limit, anns_field="vector",
                    search_params={"metric_type": "COSINE", "params": {"ef": limit}},
                    output_fields=["user_id"], consistency_level="Strong",
                )  # fmt: skip
                scored = [(hit["user_id"], float(hit["distance"])) for hit in hits]
                last = limit == recommendations.LAST_LIMIT
                if last or recommendations.settled(user, scored, limit, K):
                    break
                limit = min(limit * 2, recommendations.LAST_LIMIT)
            near = [found.user_id for found in recommendations.nearest(user, scored, K)]
            driver.execute_query(
                recommendations.CAMPAIGNS, rows=near, database_=env["NEO4J_DATABASE"]
            )
            list(run(bigquery, frequencies, [ArrayQueryParameter("users", "STRING", near)]))
            return near

        for user in users[:3]:  # connections and caches
            recommendations.recommend(stores, [user], K)
            bare(user, vector_of(user))
        for number, user in enumerate(users):
            order = ("ours", "bare") if number % 2 else ("bare", "ours")
            near: list[str] = []
            for who in order:
                began = time.perf_counter()
                if who == "ours":
                    (answer,) = recommendations.recommend(stores, [user], K)
                    repetition.answer.append(time.perf_counter() - began)
                    continue
                vector = vector_of(user)
                looked_up = time.perf_counter()
                near = bare(user, vector)
                ended = time.perf_counter()
                repetition.bare.append(ended - began)
                repetition.bare_given_vector.append(ended - looked_up)
            if [found.user_id for found in answer.similar] != near:
                raise RuntimeError(f"the bare calls found other users like {user}: {near}")


# -- the report --------------------------------------------------------------------------------


def report(shape: Shape, repetitions: Sequence[Repetition]) -> None:
    """The figures of all repetitions, medians of ratios last."""
    print(
        f"\n{shape.rows:,} rows, {shape.users:,} users (Zipf {shape.zipf}), {shape.messages:,} "
        f"messages, {shape.campaigns} campaigns, {shape.empty:.0%} empty; "
        f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}"
    )
    for number, rep in enumerate(repetitions, start=1):
        first, again = rep.first, rep.again
        print(f"\nrepetition {number}")
        print(f"  pipeline, run start to loaded   {first.from_start:8.1f} s   {first.rows}")
        print(f"  pipeline, process start-up incl.{first.from_launch:8.1f} s")
        for step, (begin, end) in sorted(first.steps.items(), key=lambda item: item[1]):
            sink = first.sinks.get(step)
            work = f"   {sink:8.1f} s by the ledger" if sink is not None else ""
            print(f"    {step:<28} {begin:7.1f} → {end:7.1f} s{work}")
        print(f"  four bare loaders side by side  {rep.floor_seconds:8.1f} s")
        for name, seconds in sorted(rep.floor.items(), key=lambda item: -item[1]):
            print(f"    {name:<28} {seconds:17.1f} s")
        print(f"  same content, another key       {again.from_start:8.1f} s   {again.rows}")
        for step, (begin, end) in sorted(again.steps.items(), key=lambda item: item[1]):
            print(f"    {step:<28} {begin:7.1f} → {end:7.1f} s")
        print(f"  same, process start-up incl.    {again.from_launch:8.1f} s")
        print(f"  recommend(), median of {len(rep.answer):<3}      "
              f"{statistics.median(rep.answer) * 1000:8.1f} ms")  # fmt: skip
        print(f"  the bare calls                  {statistics.median(rep.bare) * 1000:8.1f} ms")
        print(f"  without reading the vector      "
              f"{statistics.median(rep.bare_given_vector) * 1000:8.1f} ms")  # fmt: skip

    def line(what: str, ratios: list[float], goal: str) -> None:
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"  {what:<46} {statistics.median(ratios):7.2f}x  ({goal}; each: {each})")

    print("\nreached (median)")
    line(
        "throughput of the pipeline / of the bare loaders",
        [r.floor_seconds / r.first.from_start for r in repetitions],
        f"goal ≥ {GOAL_THROUGHPUT}x",
    )
    line(
        "same, process start-up included",
        [r.floor_seconds / r.first.from_launch for r in repetitions],
        "no goal",
    )
    line(
        "unchanged re-delivery, times faster",
        [r.first.from_start / r.again.from_start for r in repetitions],
        f"goal ≥ {GOAL_UNCHANGED:.0f}x",
    )
    line(
        "same, process start-up included",
        [r.first.from_launch / r.again.from_launch for r in repetitions],
        "no goal",
    )
    line(
        "validation alone of the re-delivery, times faster",
        [r.first.from_start / (r.again.steps["events"][1] - r.again.steps["events"][0])
         for r in repetitions],
        "no goal",
    )  # fmt: skip
    line(
        "one recommendation / its bare calls",
        [statistics.median(r.answer) / statistics.median(r.bare) for r in repetitions],
        f"goal ≤ {GOAL_ANSWER}x",
    )
    line(
        "same, the bare calls given the vector",
        [statistics.median(r.answer) / statistics.median(r.bare_given_vector) for r in repetitions],
        "no goal",
    )


# -- the course --------------------------------------------------------------------------------


@contextlib.contextmanager
def environment(stack: Stack) -> Iterator[Path]:
    """Fresh databases, buckets, collections and a dataset in ``os.environ``; a scratch folder."""
    home = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        with isolated_environment(stack, SERVICES, home) as variables:
            os.environ.update(variables)
            yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def repeat(stack: Stack, csv: Path, number: int, log: Path, *, answers_too: bool) -> Repetition:
    """One repetition; the bare loaders come first in every second one."""
    measured: dict[str, float] = {}

    def bare() -> None:
        with environment(stack) as folder:
            data = prepare_floor(csv, folder)
            measured.update(floor(data))
        print(f"  bare loaders: {measured}", flush=True)

    if number % 2 == 0:
        bare()
    with environment(stack):
        first = pipeline(csv, "events.csv", log)
        print(f"  pipeline: {first}", flush=True)
        again = pipeline(csv, "delivered-again.csv", log)
        print(f"  again: {again}", flush=True)
        repetition = Repetition(first, again, measured)
        if answers_too:
            answers(repetition)
    if number % 2:
        bare()
    return repetition


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--messages", type=int, default=2_000)
    parser.add_argument("--campaigns", type=int, default=50)
    parser.add_argument("--empty", type=float, default=0.1)
    parser.add_argument("--zipf", type=float, default=1.1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    parser.add_argument("--run-batch", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run_batch:
        run_batch(json.loads(arguments.run_batch))
        return
    shape = Shape(
        arguments.rows, arguments.users, arguments.messages, arguments.campaigns,
        arguments.empty, arguments.zipf,
    )  # fmt: skip
    scratch = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    stack = Stack(arguments.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        csv, log = scratch / "events.csv", scratch / "run.log"
        write_sample(csv, shape, arguments.seed)
        print(f"{csv.stat().st_size / 1e6:.1f} MB; runs log to {log}", flush=True)
        repetitions = [
            repeat(stack, csv, number, log, answers_too=True)
            for number in range(1, arguments.repetitions + 1)
        ]
        report(shape, repetitions)
    except BaseException:
        if (scratch / "run.log").exists():
            print((scratch / "run.log").read_text()[-5_000:], file=sys.stderr)
        raise
    finally:
        if arguments.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
