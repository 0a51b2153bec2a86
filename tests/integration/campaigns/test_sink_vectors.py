"""Embeddings, message vectors and user profiles over Milvus, Postgres and an OpenAI-like API."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest
from openai.resources.embeddings import Embeddings

from assets import embeddings
from assets.campaigns import message_embeddings, profiles
from assets.embeddings import Space
from assets.sinks import milvus
from assets.sinks.milvus import AnotherModelError
from landing.batch.failures import PermanentError, classify
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from tests.integration.campaigns.world import Event, World, at, changes, real, small

pytestmark = pytest.mark.servers("postgres", "milvus", "openai")


class Servers:
    def __init__(self, env, client):
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.openai = OpenAIResource(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            embedding_model=env["OPENAI_EMBEDDING_MODEL"],
            timeout=5,
        )
        self.space = Space(self.openai.embedding_model)
        self.world = World(self.pg.url)
        self.messages = message_embeddings.store(
            client, env["CAMPAIGNS_MILVUS_MESSAGES"], self.space
        )
        self.profiles = profiles.store(client, env["CAMPAIGNS_MILVUS_PROFILES"], self.space)

    def write_messages(self, chunks):
        return message_embeddings.write(chunks, self.messages, self.pg, self.openai)

    def write_profiles(self, chunks, batch_id):
        return profiles.write(chunks, self.profiles, self.pg, self.openai, batch_id=batch_id)

    def embedding(self, message: str) -> np.ndarray:
        """Asked of the API directly."""
        with self.openai.client() as client:
            answer = client.embeddings.create(
                model=self.space.model, input=[message], dimensions=1024
            )
        return np.array(answer.data[0].embedding)

    def expected_messages(self):
        return {
            e.record_id: (e.user_id, e.row_hash, e.message)
            for e in self.world.events.values()
            if e.message
        }

    def assert_messages(self):
        rows = everything(self.messages, ["user_id", "row_hash", "vector"])
        expected = self.expected_messages()
        assert set(rows) == set(expected)
        of = {m: self.embedding(m) for m in {m for _, _, m in expected.values()}}
        for key, (user, row_hash, message) in expected.items():
            assert (rows[key]["user_id"], rows[key]["row_hash"]) == (user, row_hash)
            np.testing.assert_allclose(rows[key]["vector"], of[message], atol=1e-6)

    def assert_profiles(self):
        rows = everything(self.profiles, ["message_count", "vector"])
        of_users = self.world.messages_of()
        assert set(rows) == set(of_users)
        of = {m: self.embedding(m) for m in {m for c in of_users.values() for m in c}}
        for user, messages in of_users.items():
            mean = sum(of[m] * n for m, n in messages.items()) / messages.total()
            assert rows[user]["message_count"] == messages.total()
            np.testing.assert_allclose(rows[user]["vector"], mean, atol=1e-6)


@pytest.fixture
def servers(env):
    client = MilvusResource(uri=env["MILVUS_URI"], token=env["MILVUS_TOKEN"]).client()
    yield Servers(env, client)
    client.close()


def everything(store, fields):
    return {
        row[store.key]: row
        for row in store.client.query(
            store.name, filter="", limit=5000, output_fields=[store.key, *fields],
            consistency_level="Strong",
        )
    }  # fmt: skip


def embed_all(chunks, pg, openai):
    """How many distinct texts each chunk has, and how many of them were paid for."""
    with embeddings.embedder(pg, openai) as (filler, _):
        results = [filler.ensure(message_embeddings.distinct_messages(chunk)) for chunk in chunks]
    return [(result.distinct, result.embedded) for result in results]


def test_messages_twice_then_changed(servers, openai_admin):
    chunks = servers.world.deliver("b1", small(), 5)
    first = servers.write_messages(chunks)
    assert (first.rows_written, first.deleted, first.details["embedded"]) == (12, 0, 5)
    assert openai_admin.counters()["inputs"] == 5
    again = servers.write_messages(chunks)
    assert (again.rows_written, again.details["embedded"]) == (12, 0)
    assert openai_admin.counters()["inputs"] == 5
    servers.assert_messages()
    assert message_embeddings.verify(chunks, servers.messages, servers.pg).ok

    changed = servers.world.deliver("b2", changes())
    result = servers.write_messages(changed)
    assert (result.rows_written, result.deleted) == (3, 1)  # r5 has no message any more
    servers.assert_messages()
    assert message_embeddings.verify(changed, servers.messages, servers.pg).ok
    stale = message_embeddings.verify(chunks, servers.messages, servers.pg)
    assert (stale.missing, stale.differing, stale.unexpected) == (1, 2, 0)


def test_profiles_twice_then_changed(servers):
    chunks = servers.world.deliver("b1", small(), 5)
    first = servers.write_profiles(chunks, "b1")
    assert (first.rows_written, first.unchanged) == (9, 0)
    again = servers.write_profiles(chunks, "b1")
    assert (again.rows_written, again.unchanged) == (9, 9)
    servers.assert_profiles()

    changed = servers.world.deliver("b2", changes())
    result = servers.write_profiles(changed, "b2")
    assert result.deleted == 1  # user_5
    servers.assert_profiles()
    rows = everything(servers.profiles, ["changed_in"])
    assert {u for u, row in rows.items() if row["changed_in"] == "b2"} == {
        "user_1", "user_2", "user_4", "user_7",
    }  # fmt: skip
    assert profiles.verify(changed, servers.profiles, servers.pg, batch_id="b2").ok
    with psycopg.connect(servers.pg.url) as connection:
        assert profiles.without_event(servers.profiles, connection) == []
        connection.execute("DELETE FROM campaigns.record WHERE user_id = 'user_7'")
        assert profiles.without_event(servers.profiles, connection) == ["user_7"]


def test_a_batch_that_failed_is_made_up_for(servers):
    """b2's messages were never embedded when b3 computes the same user; then b2 comes late."""
    servers.write_profiles(servers.world.deliver("b1", small()), "b1")
    late = servers.world.deliver("b2", [Event("r20", "user_1", "never seen before", None, at(20))])
    third = servers.world.deliver("b3", [Event("r21", "user_1", "only once", None, at(21))])
    result = servers.write_profiles(third, "b3")
    assert result.details["awaiting_embedding"] == 1
    servers.write_profiles(late, "b2")
    servers.assert_profiles()


def test_killed_in_the_middle(servers):
    chunks = servers.world.deliver("b1", small(), 5)

    def dying():
        yield chunks[0]
        raise KeyboardInterrupt

    for write in (servers.write_messages, lambda c: servers.write_profiles(c, "b1")):
        with pytest.raises(KeyboardInterrupt):
            write(dying())
        write(chunks)
    servers.assert_messages()
    servers.assert_profiles()


def test_collection_without_its_index_is_completed(servers):
    servers.messages.ensure()
    servers.messages.client.release_collection(servers.messages.name)
    servers.messages.client.drop_index(servers.messages.name, "vector")
    servers.write_messages(servers.world.deliver("b1", small()))
    servers.assert_messages()


def test_another_index_is_built_once_there_are_many_vectors(servers):
    """And stays: the vectors that were there are found all the same."""
    client, name = servers.messages.client, servers.messages.name

    def kind() -> str:
        (index,) = client.list_indexes(name, "vector")
        return client.describe_index(name, index)["index_type"]

    chunks = servers.world.deliver("b1", small())
    servers.write_messages(chunks)
    assert kind() == "FLAT"
    for setting, expected in (
        ("auto from=5", "HNSW"), ("auto from=500", "HNSW"), ("FLAT", "FLAT"), ("auto", "FLAT"),
    ):  # fmt: skip
        again = message_embeddings.store(client, name, servers.space, setting)
        message_embeddings.write(chunks, again, servers.pg, servers.openai)
        assert kind() == expected
        assert message_embeddings.verify(chunks, again, servers.pg).ok
        hits = client.search(
            name, data=[[1.0] * 1024], limit=20, anns_field="vector", output_fields=["record_id"],
            search_params={"metric_type": "COSINE"},
        )  # fmt: skip
        assert len(hits[0]) == sum(bool(event.message) for event in small())


def test_rows_go_in_calls_that_a_server_takes(servers, monkeypatch):
    monkeypatch.setattr(milvus, "BATCH_BYTES", 3 * 4_096 + 300)
    calls: list[int] = []
    upsert = servers.messages.client.upsert

    def counted(name, rows, **kwargs):
        calls.append(len(rows))
        return upsert(name, rows, **kwargs)

    monkeypatch.setattr(servers.messages.client, "upsert", counted)
    servers.write_messages(servers.world.deliver("b1", small()))
    assert max(calls) <= 3
    assert sum(calls) == sum(bool(event.message) for event in small())
    servers.assert_messages()


def test_never_two_models(servers):
    chunks = servers.world.deliver("b1", small())
    servers.write_messages(chunks)
    other = message_embeddings.store(
        servers.messages.client, servers.messages.name, Space("another-model")
    )
    with pytest.raises(AnotherModelError, match="OPENAI_EMBEDDING_MODEL") as caught:
        message_embeddings.write(chunks, other, servers.pg, servers.openai)
    assert classify(caught.value) == "permanent"
    servers.assert_messages()


def test_transient_faults_are_outlived_and_paid_once(servers, openai_admin, monkeypatch):
    monkeypatch.setattr(embeddings, "CALL_TEXTS", 2)
    openai_admin.set_faults(
        script=["429", "500", "malformed", "disconnect", "truncated", "empty", "503"],
        retry_after=0.1,
    )
    chunks = servers.world.deliver("b1", small())
    result = servers.write_messages(chunks)
    assert result.details["embedded"] == 5
    openai_admin.end_faults()
    servers.assert_messages()


@pytest.mark.parametrize("fault", ["null_vector", "nan_vector", "zero_vector", "short_vector"])
def test_a_vector_without_a_direction_is_asked_for_again(servers, openai_admin, fault):
    openai_admin.set_faults(script=[fault, fault])
    chunks = servers.world.deliver("b1", small())
    result = servers.write_messages(chunks)
    assert result.details["embedded"] == 5
    servers.assert_messages()


def test_a_text_that_never_gets_a_usable_vector_costs_only_itself(servers, monkeypatch):
    """As of a compatible server that divides by the length of an unknown word."""
    monkeypatch.setattr(embeddings, "ATTEMPTS", 1)
    create = Embeddings.create

    def spoilt(self, **call):
        answer = create(self, **call)
        for text, item in zip(call["input"], answer.data, strict=True):
            if text == "cancel my order":
                item.embedding = [0.0] * 1024
        return answer

    monkeypatch.setattr(Embeddings, "create", spoilt)
    chunks = servers.world.deliver("b1", small())
    told: dict[str, str] = {}
    message_embeddings.write(
        chunks,
        servers.messages,
        servers.pg,
        servers.openai,
        lambda key, why: told.update({key: why}),
    )
    cancelled = {e.record_id for e in small() if e.message == "cancel my order"}
    assert cancelled
    assert told.keys() == cancelled
    assert all("1 unusable vectors for 1 texts" in why for why in told.values())
    stored = everything(servers.messages, ["vector"])
    assert stored.keys() == {e.record_id for e in small() if e.message} - cancelled
    assert all(any(row["vector"]) for row in stored.values())
    with psycopg.connect(servers.pg.url) as connection:
        held = connection.execute("SELECT vector FROM cache.embedding").fetchall()
    assert len(held) == 4
    assert all(np.frombuffer(raw, "<f4").any() for (raw,) in held)


def test_messages_whose_vectors_cancel_out_give_no_profile(servers, monkeypatch):
    chunks = servers.world.deliver("b1", small())
    servers.write_messages(chunks)
    row = profiles._row

    def cancelled(profile):
        made = row(profile)
        return {**made, "vector": made["vector"] * 0} if profile.user_id == "user_2" else made

    monkeypatch.setattr(profiles, "_row", cancelled)
    told: list[str] = []
    left: set[str] = set()
    result = profiles.write(
        chunks, servers.profiles, servers.pg, servers.openai, batch_id="b1",
        refuse=lambda user, _: told.append(user), left_out=left,
    )  # fmt: skip
    assert (told, left, result.rows_written) == (["user_2"], {"user_2"}, 8)
    assert "user_2" not in everything(servers.profiles, ["row_hash"])
    assert profiles.verify(chunks, servers.profiles, servers.pg, batch_id="b1", refused=left).ok


def test_long_texts_of_any_language_are_cut_and_packed_to_what_the_api_takes(servers, openai_admin):
    long = [
        Event(f"r{n}", "u", text * 8_000 + str(n), None, at(1 + n % 28))
        for n, text in enumerate(["汉", "🙂", "é", "word ", "\U0001d518"] * 20)
    ]
    result = servers.write_messages(servers.world.deliver("b1", long))
    assert (result.rows_written, result.details["embedded"]) == (100, 100)
    assert openai_admin.counters()["statuses"] == {"embeddings": {"200": 3}}


def test_what_was_answered_before_a_failure_is_not_paid_again(servers, openai_admin, monkeypatch):
    monkeypatch.setattr(embeddings, "CALL_TEXTS", 1)
    serial = servers.openai.model_copy(update={"concurrency": 1})
    openai_admin.set_faults(script=["ok", "ok", "401"])
    chunks = servers.world.deliver("b1", small())
    with pytest.raises(Exception, match="401") as caught:
        embed_all(chunks, servers.pg, serial)
    assert classify(caught.value) == "permanent"
    assert openai_admin.counters()["calls"] == {"embeddings": 3}
    openai_admin.end_faults()
    openai_admin.clear_counters()
    assert embed_all(chunks, servers.pg, serial) == [(5, 3)]
    assert openai_admin.counters()["inputs"] == 3


def test_wrong_dimensions_are_a_clear_error(servers, monkeypatch):
    space = Space(servers.space.model, 1024)
    with servers.openai.client() as client:
        create = client.embeddings.create
        monkeypatch.setattr(
            client.embeddings, "create", lambda **call: create(**{**call, "dimensions": 256})
        )
        with pytest.raises(PermanentError, match=r"\[256\] numbers, not 1024"):
            embeddings.embed(client, space, ["hello"])


def test_real_file(servers, openai_admin):
    chunks = servers.world.deliver("b1", real())
    for _ in range(2):
        messages = servers.write_messages(chunks)
        users = servers.write_profiles(chunks, "b1")
        assert (messages.rows_written, users.rows_written) == (1050, 911)
    assert openai_admin.counters()["inputs"] == 15
    assert message_embeddings.verify(chunks, servers.messages, servers.pg).ok
    assert profiles.verify(chunks, servers.profiles, servers.pg, batch_id="b1").ok
    servers.assert_messages()
    servers.assert_profiles()
