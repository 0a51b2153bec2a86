"""The MongoDB sink against a real-protocol server, compared with a recount in plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assets.campaigns.tables import RAW_MESSAGES
from assets.sinks import mongo
from resources.mongo import MongoResource, durable
from tests.integration.campaigns.world import INGESTED_AT, World, changes, real, small

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.servers("postgres", "mongo")


@pytest.fixture
def collection(env):
    with MongoResource(uri=env["MONGO_URI"]).client() as client:
        yield durable(client, env["CAMPAIGNS_MONGO_DATABASE"], "user_messages")


def write(chunks, collection):
    return mongo.write(chunks, collection, RAW_MESSAGES, exact=["timestamp"])


def documents(world: World) -> dict[str, tuple]:
    return {
        e.record_id: (e.user_id, e.message, e.campaign, e.timestamp, e.row_hash, INGESTED_AT)
        for e in world.events.values()
    }


def held(collection) -> dict[str, tuple]:
    found = {}
    for d in collection.find():
        assert d["record_id"] == d["_id"]
        exact = EPOCH + timedelta(microseconds=d["timestamp_us"])
        # A MongoDB date keeps milliseconds.
        assert timedelta(0) <= exact - d["timestamp"] < timedelta(milliseconds=1)
        found[d["_id"]] = (d["user_id"], d["message"], d["campaign"], exact, d["row_hash"],
                           d["ingested_at"])  # fmt: skip
    return found


def test_twice_then_changed(env, collection):
    world = World(env["POSTGRES_URL"])
    chunks = world.deliver("b1", small(), 5)
    first = write(chunks, collection)
    assert (first.rows_written, first.unchanged) == (14, 0)
    again = write(chunks, collection)
    assert (again.rows_written, again.unchanged) == (14, 14)
    assert held(collection) == documents(world)

    changed = world.deliver("b2", changes())
    result = write(changed, collection)
    assert (result.rows_written, result.unchanged) == (4, 0)
    assert held(collection) == documents(world)
    assert mongo.verify(changed, collection, RAW_MESSAGES, rows=4).ok
    # The first batch's chunks as they were: three of its rows are not what is held any more.
    stale = mongo.verify(chunks, collection, RAW_MESSAGES, rows=14)
    assert (stale.expected, stale.missing, stale.differing) == (14, 0, 3)


def test_killed_in_the_middle(env, collection):
    world = World(env["POSTGRES_URL"])
    chunks = world.deliver("b1", small(), 5)

    def dying():
        yield chunks[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(dying(), collection)
    partly = mongo.verify(chunks, collection, RAW_MESSAGES, rows=14)
    assert (partly.missing, partly.differing) == (9, 0)
    write(chunks, collection)
    assert mongo.verify(chunks, collection, RAW_MESSAGES, rows=14).ok
    assert held(collection) == documents(world)


def test_some_there_already_some_new_in_one_bulk(env, collection):
    """Inserts that are refused become replacements, whatever share of a bulk they are."""
    world = World(env["POSTGRES_URL"])
    chunks = world.deliver("b1", small())
    keys = [event.record_id for event in small()]
    for there in (keys[2:3], keys[:12]):
        collection.delete_many({})
        collection.insert_many([{"_id": key, "row_hash": f"old{key}"} for key in there])
        result = write(chunks, collection)
        assert (result.rows_written, result.unchanged) == (14, 0)
        assert held(collection) == documents(world)


def test_verify_reads_single_ids_of_a_large_collection(env, collection):
    world = World(env["POSTGRES_URL"])
    collection.insert_many([{"_id": f"other{i}", "row_hash": "x"} for i in range(200)])
    chunks = world.deliver("b1", small())
    write(chunks, collection)
    assert mongo.verify(chunks, collection, RAW_MESSAGES, rows=14).ok
    collection.delete_one({"_id": "r3"})
    collection.update_one({"_id": "r4"}, {"$set": {"row_hash": "y"}})
    found = mongo.verify(chunks, collection, RAW_MESSAGES, rows=14)
    assert (found.missing, found.differing, found.sample) == (1, 1, ("r3", "r4"))


def test_real_file(env, collection):
    world = World(env["POSTGRES_URL"])
    chunks = world.deliver("b1", real())
    write(chunks, collection)
    result = write(chunks, collection)
    assert collection.count_documents({}) == 1170 == result.unchanged
    assert mongo.verify(chunks, collection, RAW_MESSAGES, rows=1170).ok
