"""Reads every sink of campaigns directly, through the systems' own clients.

Belongs here: what a person would look at in each system. Does not: code under test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from neo4j import GraphDatabase
from pymilvus import MilvusClient
from pymongo import MongoClient

from resources.milvus import KEEPALIVE
from tests.faults.oracle import EndState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Env = Mapping[str, str]


def end_state(env: Env) -> EndState:
    """What is in Postgres' record table and in all five sinks now."""
    return EndState(
        records=_records(env),
        documents=_documents(env, env["MONGO_URI"]),
        **_vectors(env),
        **_graph(env),
        rows=_rows(env),
    )


def assert_same(found: EndState, expected: EndState) -> None:
    """Sink by sink, so that a failure names the sink first."""
    assert found.counts() == expected.counts()
    for field in fields(EndState):
        assert getattr(found, field.name) == getattr(expected, field.name), field.name


def assert_profiles_are_means(env: Env) -> None:
    """Every user's vector is the mean of the vectors of their messages."""
    client = _milvus(env)
    messages = _all(client, env["CAMPAIGNS_MILVUS_MESSAGES"], ["record_id", "user_id", "vector"])
    profiles = _all(client, env["CAMPAIGNS_MILVUS_PROFILES"], ["user_id", "vector"])
    client.close()
    of_user: dict[str, list[Any]] = {}
    for row in messages:
        of_user.setdefault(row["user_id"], []).append(row["vector"])
    assert {row["user_id"] for row in profiles} == set(of_user)
    for row in profiles:
        mean = np.mean(np.array(of_user[row["user_id"]]), axis=0)
        assert np.allclose(row["vector"], mean, atol=1e-5), row["user_id"]


def document_times(env: Env) -> list[tuple[str, str]]:
    """Ids and BSON object of all documents as text: equal only if nothing was rewritten."""
    client: MongoClient[dict[str, Any]] = MongoClient(env["MONGO_URI"])
    with client:
        found = _collection(client, env).find().sort("_id")
        return [(document["_id"], repr(sorted(document.items()))) for document in found]


def _records(env: Env) -> list[Any]:
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        return [
            (key, user, campaign, at.astimezone(UTC))
            for key, user, campaign, at in connection.execute(
                "SELECT key, user_id, campaign, event_time FROM campaigns.record ORDER BY key"
            )
        ]


def _collection(client: MongoClient[dict[str, Any]], env: Env) -> Any:
    return client[env["CAMPAIGNS_MONGO_DATABASE"]][
        env.get("CAMPAIGNS_MONGO_COLLECTION", "user_messages")
    ]


def _documents(env: Env, uri: str) -> list[Any]:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=10_000)
    with client:
        found = []
        for d in _collection(client, env).find():
            assert d["_id"] == d["record_id"]
            assert d["ingested_at"] is not None
            at = _EPOCH + timedelta(microseconds=d["timestamp_us"])
            found.append((d["record_id"], d["user_id"], d["message"], d["campaign"], at))
    return sorted(found, key=lambda row: row[0])


def _milvus(env: Env) -> MilvusClient:
    """A client that does not ping: pymilvus shares one connection among those of an address."""
    return MilvusClient(uri=env["MILVUS_URI"], grpc_options=KEEPALIVE)


def _all(client: MilvusClient, collection: str, columns: list[str]) -> list[dict[str, Any]]:
    if not client.has_collection(collection):
        return []
    client.load_collection(collection)
    rows: list[dict[str, Any]] = client.query(
        collection, filter="", output_fields=columns, limit=16_000, consistency_level="Strong"
    )
    return rows


def _vectors(env: Env) -> dict[str, list[Any]]:
    client = _milvus(env)
    messages = _all(client, env["CAMPAIGNS_MILVUS_MESSAGES"], ["record_id", "user_id"])
    profiles = _all(client, env["CAMPAIGNS_MILVUS_PROFILES"], ["user_id", "message_count"])
    client.close()
    return {
        "vectors": sorted((row["record_id"], row["user_id"]) for row in messages),
        "profiles": sorted((row["user_id"], row["message_count"]) for row in profiles),
    }


_GRAPH = {
    "users": "MATCH (u:User) RETURN u.user_id",
    "campaigns": "MATCH (c:Campaign) RETURN c.campaign",
    "events": "MATCH (e:Event) RETURN e.record_id, e.timestamp",
    "performed": "MATCH (u:User)-[:PERFORMED]->(e:Event) RETURN u.user_id, e.record_id",
    "part_of": "MATCH (e:Event)-[:PART_OF]->(c:Campaign) RETURN e.record_id, c.campaign",
    "participated_in": "MATCH (u:User)-[p:PARTICIPATED_IN]->(c:Campaign)"
    " RETURN u.user_id, c.campaign, p.events, p.first_seen, p.last_seen",
    "targeted_by": "MATCH (u:User)-[t:TARGETED_BY]->(c:Campaign)"
    " RETURN u.user_id, c.campaign, t.first_seen",
}


def _graph(env: Env) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    auth = (env["NEO4J_USER"], env["NEO4J_PASSWORD"])
    with GraphDatabase.driver(
        env["NEO4J_URI"], auth=auth, notifications_min_severity="OFF"
    ) as driver:
        for name, statement in _GRAPH.items():
            records = driver.execute_query(statement, database_=env["NEO4J_DATABASE"]).records
            values = [tuple(map(_plain, record.values())) for record in records]
            found[name] = (
                sorted(v[0] for v in values)
                if len(values[:1] and values[0]) == 1
                else (sorted(values))
            )
    return found


def _plain(value: Any) -> Any:
    native = value.to_native() if hasattr(value, "to_native") else value
    return native.astimezone(UTC) if isinstance(native, datetime) else native


def _rows(env: Env) -> list[Any]:
    client = bigquery.Client(
        project=env["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options=ClientOptions(api_endpoint=env["BIGQUERY_API_ENDPOINT"]),
    )
    table = f"{env['GOOGLE_CLOUD_PROJECT']}.{env['CAMPAIGNS_DATASET']}.user_events"
    with client:
        try:
            client.get_table(table)
        except NotFound:
            return []
        rows = client.query(
            f"SELECT record_id, user_id, message, campaign, timestamp FROM `{table}`"
        ).result()
        return sorted((tuple(row.values()) for row in rows), key=lambda row: row[0])
