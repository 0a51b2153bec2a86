"""The floor of the campaigns benchmark: four bare client loaders, a process each, side by side.

They write what the pipeline writes, in the same batch sizes, from data that is in memory.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LOADERS = ("mongodb", "milvus", "neo4j", "bigquery")


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

    from assets.embeddings import Space, embed
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
    """insert_many of the same documents: the cheapest there is, for a collection that is empty."""
    import polars as pl

    from assets.campaigns.tables import RAW_MESSAGES
    from assets.sinks.mongo import BATCH_ROWS
    from resources.mongo import MongoResource, durable

    env = os.environ
    rows = data.frame("rows").select(
        *RAW_MESSAGES.names, pl.col("timestamp").dt.epoch("us").alias("timestamp_us")
    )
    client = MongoResource(uri=env["MONGO_URI"]).client()
    collection = durable(client, env["CAMPAIGNS_MONGO_DATABASE"], env["CAMPAIGNS_MONGO_COLLECTION"])
    client.admin.command("ping")

    def load() -> None:
        for part in rows.iter_slices(BATCH_ROWS):
            documents = [{"_id": r["record_id"], **r} for r in part.iter_rows(named=True)]
            collection.insert_many(documents, ordered=False)

    return load


def load_milvus(data: FloorData) -> Callable[[], None]:
    """Upsert of the messages' vectors, then of the users', and a flush of each."""
    from assets.campaigns import message_embeddings, profiles
    from assets.embeddings import Space
    from assets.sinks.milvus import BATCH_ROWS
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
    from assets.sinks.neo4j import BATCH_ROWS, Graph
    from resources.neo4j import Neo4jResource

    env = os.environ
    resource = Neo4jResource(
        uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"],
        database=env["NEO4J_DATABASE"],
    )  # fmt: skip
    target = Graph(resource.driver(), resource.database)
    target.ensure(graph.CONSTRAINTS)
    rows = data.frame("rows").select("record_id", "user_id", "campaign", "timestamp", "row_hash")
    users = rows["user_id"].unique().sort().to_list()
    campaigns = rows["campaign"].drop_nulls().unique().sort().to_list()
    pairs = data.frame("participations")

    def load() -> None:
        for at in range(0, len(users), BATCH_ROWS):
            target.run(graph.MERGE_USERS, users[at : at + BATCH_ROWS])
        target.run(graph.MERGE_CAMPAIGNS, campaigns)
        for part in rows.iter_slices(BATCH_ROWS):
            events = part.to_dicts()
            in_campaign = [event for event in events if event["campaign"]]
            if create:
                target.run(graph.CREATE_EVENTS, [e for e in events if not e["campaign"]])
                target.run(graph.CREATE_CAMPAIGN_EVENTS, in_campaign)
            else:
                target.run(MERGE_EVENTS, events)
                target.run(MERGE_PART_OF, in_campaign)
        for part in pairs.iter_slices(BATCH_ROWS):
            target.run(graph.SET_PARTICIPATION, part.to_dicts())

    return load


def load_bigquery(data: FloorData) -> Callable[[], None]:
    """One load job into staging and one MERGE."""
    import io

    import polars as pl
    from google.cloud import bigquery

    from assets.campaigns.analytics import NEWEST, warehouse_of
    from assets.campaigns.tables import USER_EVENTS, USER_EVENTS_STAGING
    from assets.sinks.bigquery_merging import merge_statement
    from resources.bigquery import BigQueryResource, run

    env = os.environ
    client = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    ).client()
    warehouse = warehouse_of(client, env["CAMPAIGNS_DATASET"])
    warehouse.ensure()
    merge = warehouse.sql(merge_statement(USER_EVENTS, USER_EVENTS_STAGING, NEWEST))
    staging = warehouse.table(USER_EVENTS_STAGING.name)
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
        client.load_table_from_file(file, staging, job_config=config).result()
        run(
            client,
            merge,
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
