"""``check`` of every resource: one line when all is well, the client's error when it isn't."""

from __future__ import annotations

import time

import pytest

from landing.batch.failures import classify
from resources.bigquery import BigQueryResource
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource

SECRET = "s3cret"  # pragma: allowlist secret
DEAD = "127.0.0.1:9"


def resources(env):
    return {
        "MongoDB": MongoResource(uri=env["MONGO_URI"]),
        "database": Neo4jResource(
            uri=env["NEO4J_URI"],
            user=env["NEO4J_USER"],
            password=env["NEO4J_PASSWORD"],
            database=env["NEO4J_DATABASE"],
        ),
        "Milvus": MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"]),
        "BigQuery project": BigQueryResource(
            project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
        ),
        "GCS project": GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]),
        "OpenAI-compatible": OpenAIResource(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            embedding_model=env["OPENAI_EMBEDDING_MODEL"],
        ),
    }


@pytest.mark.servers("mongo", "bolt", "milvus", "bigquery", "gcs", "openai")
def test_reachable(env):
    secrets = [env["NEO4J_PASSWORD"], env["OPENAI_API_KEY"]]
    for words, resource in resources(env).items():
        line = resource.check()
        assert words in line
        assert "\n" not in line
        assert not any(secret in line + repr(resource) + str(resource) for secret in secrets)


@pytest.mark.parametrize(
    "resource",
    [
        MongoResource(uri=f"mongodb://user:{SECRET}@{DEAD}/", connect_timeout=1),
        Neo4jResource(uri=f"bolt://{DEAD}", user="neo4j", password=SECRET),
        MilvusResource(uri=f"http://{DEAD}", token="root:s3cret", timeout=2),
        OpenAIResource(base_url=f"http://{DEAD}/v1", api_key="s3cret", embedding_model="m"),
    ],
    ids=lambda resource: type(resource).__name__,
)
def test_unreachable(resource):
    started = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011  each client has its own
        resource.check()
    assert classify(caught.value) == "transient"
    assert time.monotonic() - started < 30
    assert "s3cret" not in f"{caught.value} {resource!r} {resource}"


@pytest.mark.servers("bolt")
def test_wrong_password(env):
    wrong = Neo4jResource(uri=env["NEO4J_URI"], user=env["NEO4J_USER"], password="wrong password")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        wrong.check()
    assert classify(caught.value) == "permanent"


@pytest.mark.servers("openai")
def test_wrong_key(env):
    wrong = resources_of_openai(env, "wrong-key")
    with pytest.raises(Exception, match="401") as caught:
        wrong.check()
    assert classify(caught.value) == "permanent"


def resources_of_openai(env, key):
    return OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=key,
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
    )
