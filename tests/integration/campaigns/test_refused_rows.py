"""Rows that a sink refuses: set aside with the sink's words, and the others are there."""

from __future__ import annotations

import math
from contextlib import closing
from typing import Any

import pytest

from assets import embeddings
from assets.campaigns import message_embeddings, profiles
from assets.campaigns.tables import RAW_MESSAGES
from assets.embeddings import Space
from assets.frame.step import _check
from assets.sinks import mongo
from assets.sinks.result import SinkResult, Verification
from landing.batch import refused
from landing.batch.delivery import Delivery, deliver
from resources.milvus import MilvusResource
from resources.mongo import MongoResource, durable
from resources.openai import OpenAIResource
from tests.integration.campaigns.harness import Landing, row

#: About 30,000 tokens, of which the API takes 8,192.
EMOJI = "".join(chr(0x1F600 + n % 60) for n in range(8_000))


def delivered(landing: Landing, batch: str, sink: str, take: Any) -> tuple[Any, Any, Delivery]:
    """As ``sink_events`` does it; the result, the check and the delivery."""
    with deliver(
        landing.pg, landing.store, pipeline="campaigns", batch_id=batch, sink=sink, run_id="run"
    ) as delivery:
        result, found = take(delivery)
        check = _check(found, delivery)
        assert found.ok, found
        delivery.done(rows_written=result.rows_written)
    return result, check, delivery


def noted(landing: Landing, batch: str) -> list[tuple[str, str, str | None, int | None]]:
    with landing.pg.connect() as connection:
        rows = refused.refused_rows(connection, batch)
    return [(one.sink, one.row.record_key, one.row.source, one.row.line) for one in rows]


def rest(landing: Landing, batch: str, *sinks: str) -> None:
    for sink in landing.query(
        "SELECT sink FROM landing.batch_sink WHERE batch_id = %s AND state <> 'done'", batch
    ):
        landing.deliver(batch, sink[0])
    assert sinks


@pytest.fixture
def openai(env) -> OpenAIResource:
    return OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
        timeout=5,
    )


@pytest.mark.servers("postgres", "milvus", "openai")
def test_a_text_that_the_api_refuses_costs_its_own_vector_only(
    env, landing, openai, monkeypatch
) -> None:
    monkeypatch.setattr(embeddings, "TEXT_BYTES", 100_000)  # as if nothing were cut
    rows = [row(f"r{n:02}", f"text {n}", user=f"u{n % 3}") for n in range(20)]
    batch = landing.batch({"campaigns/a.csv": [*rows[:7], row("emoji", EMOJI), *rows[7:]]})
    landing.validate(batch)
    space = Space(openai.embedding_model)
    with closing(MilvusResource(uri=env["MILVUS_URI"]).client()) as client:
        vectors = message_embeddings.store(client, env["CAMPAIGNS_MILVUS_MESSAGES"], space)
        users = profiles.store(client, env["CAMPAIGNS_MILVUS_PROFILES"], space)

        def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
            return (
                message_embeddings.write(
                    delivery.chunks(), vectors, landing.pg, openai, delivery.refuse
                ),
                message_embeddings.verify(delivery.taken(), vectors, landing.pg),
            )

        result, check, _ = delivered(landing, batch, "message_embeddings", take)
        keys = [f"r{n:02}" for n in range(20)]
        assert set(vectors.hashes([*keys, "emoji"])) == set(keys), "20 vectors of 21"
        assert (result.rows_written, result.details["embedded"]) == (20, 20)

        def take_profiles(delivery: Delivery) -> tuple[SinkResult, Verification]:
            return (
                profiles.write(
                    delivery.chunks(), users, landing.pg, openai,
                    batch_id=batch, refuse=delivery.refuse,
                ),
                profiles.verify(delivery.chunks(), users, landing.pg, batch_id=batch),
            )  # fmt: skip

        result, _, _ = delivered(landing, batch, "user_profiles", take_profiles)
        assert (result.rows_written, result.details["refused_texts"]) == (3, 1)
        counts = users.stored(["u0", "u1", "u2"], ["message_count"])
        assert sum(one["message_count"] for one in counts.values()) == 20
    source = "gs://campaigns/campaigns/a.csv#1"
    assert noted(landing, batch) == [
        ("message_embeddings", "emoji", source, 9),
        ("user_profiles", "emoji", source, 9),
    ]
    for (words,) in landing.query("SELECT detail FROM landing.refused_row"):
        assert "maximum context length is 8192 tokens" in words
    assert not check.passed
    assert check.severity.value == "WARN"
    assert check.metadata["rows_refused"].value == 1
    shown = check.metadata["refused"].value
    assert "emoji" in shown
    assert source in shown
    rest(landing, batch, "the others")
    assert landing.state(batch) == "loaded_with_rejects"


@pytest.mark.servers("milvus")
def test_a_row_that_milvus_refuses_costs_itself_only(env) -> None:
    told: dict[str, str] = {}
    good = {"user_id": "u", "row_hash": "h", "vector": [1.0, 0.0]}
    rows = [{**good, "record_id": f"r{n}"} for n in range(9)]
    rows[3]["user_id"] = "u" * 600
    rows[6]["vector"] = [1.0]
    rows[1]["vector"] = [math.nan, 1.0]
    rows[2]["vector"] = [1.0, -math.inf]
    rows[8]["user_id"] = "ü" * 300
    with closing(MilvusResource(uri=env["MILVUS_URI"]).client()) as client:
        vectors = message_embeddings.store(client, "refusing", Space("m", 2))
        vectors.ensure()
        isolating = vectors.isolating(told.__setitem__)
        isolating.write(rows, vectors.upsert)
        isolating.settle()
        keys = [f"r{n}" for n in range(9)]
        assert set(told) == {"r1", "r2", "r3", "r6", "r8"}
        assert set(vectors.hashes(keys)) == set(keys) - set(told)
        assert "'nan' is not a number or infinity" in told["r1"]
        assert "is not a number or infinity" in told["r2"]
        assert "length: 600, max length: 512" in told["r8"]
        assert "600 exceeds" in told["r3"]
        # Without somebody to tell, and where every row is refused, it is an error.
        with pytest.raises(Exception, match="exceeds"):
            vectors.isolating(None).write(rows[3:6], vectors.upsert)
        alone = vectors.isolating(told.__setitem__)
        alone.write([rows[6]], vectors.upsert)
        with pytest.raises(Exception, match="dim"):
            alone.settle()


@pytest.fixture
def collection(env):
    with MongoResource(uri=env["MONGO_URI"]).client() as client:
        database = client[env["CAMPAIGNS_MONGO_DATABASE"]]
        yield durable(client, database.name, "refusing")


def upserted(landing: Landing, batch: str, collection: Any) -> tuple[Any, Any, Delivery]:
    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        return mongo.upsert(collection, delivery, RAW_MESSAGES, exact=["timestamp"])

    return delivered(landing, batch, "raw_messages", take)


@pytest.mark.servers("postgres", "mongo")
def test_a_document_that_mongodb_refuses_costs_itself_only(
    landing, collection, monkeypatch
) -> None:
    rows = [row(f"r{n}", "short") for n in range(9)]
    batch = landing.batch({"campaigns/a.csv": [*rows[:4], row("big", "x" * 5_000), *rows[4:]]})
    landing.validate(batch)
    monkeypatch.setattr(mongo, "_documents", swollen(mongo._documents))
    result, check, delivery = upserted(landing, batch, collection)
    assert (result.rows_written, collection.count_documents({})) == (9, 9)
    assert [(key, line) for _, key, _, line in noted(landing, batch)] == [("big", 6)]
    assert "too large" in delivery.refuse.words["big"]
    assert len(delivery.refuse.words["big"]) < 500, "the server's words, not the document"
    assert (check.passed, check.severity.value) == (False, "WARN")
    rest(landing, batch, "the others")
    assert landing.state(batch) == "loaded_with_rejects"

    # Once it gets through, nothing is left of it.
    monkeypatch.undo()
    result, check, _ = upserted(landing, batch, collection)
    assert (result.rows_written, result.unchanged, check.passed) == (10, 9, True)
    assert noted(landing, batch) == []
    assert landing.state(batch) == "loaded"


def swollen(make: Any) -> Any:
    """Documents of which the large one is larger than MongoDB takes."""

    def documents(*given: Any) -> Any:
        for one in make(*given):
            big = one["_id"] == "big"
            yield {**one, "message": one["message"] * 4_000} if big else one

    return documents


@pytest.mark.servers("postgres", "mongo")
def test_a_number_that_bson_cannot_hold_is_found_by_splitting(
    landing, collection, monkeypatch
) -> None:
    make: Any = mongo._documents

    def documents(*given: Any) -> Any:
        for one in make(*given):
            yield {**one, "line": 2**70} if one["_id"] == "r3" else one

    monkeypatch.setattr(mongo, "_documents", documents)
    batch = landing.batch({"campaigns/a.csv": [row(f"r{n}") for n in range(9)]})
    landing.validate(batch)
    result, _, delivery = upserted(landing, batch, collection)
    assert (result.rows_written, collection.count_documents({})) == (8, 8)
    assert "8-byte ints" in delivery.refuse.words["r3"]
