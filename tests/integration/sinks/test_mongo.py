"""A validated batch in a MongoDB collection, beside what the landed files say."""

from __future__ import annotations

import pytest

from assets.frame.tables import ROW_HASH, Column, Table
from assets.sinks import mongo
from landing.batch.delivery import deliver
from resources.mongo import MongoResource, durable
from tests.integration.campaigns.harness import row

pytestmark = pytest.mark.servers("postgres", "mongo")

MESSAGES = Table(
    "shop",
    "messages",
    "One document per message.",
    ("record_id",),
    (
        Column("record_id", "text", "Key.", nullable=False),
        Column("message", "text", "What was said."),
        ROW_HASH,
    ),
)


def test_a_delivery_twice_then_changed(landing, env):
    batch = landing.batch({"campaigns/a.csv": [row("r1", "Héllo"), row("r2", "")]})
    changed = landing.batch({"campaigns/b.csv": [row("r2", "Bye")]})
    with MongoResource(uri=env["MONGO_URI"]).client() as client:
        collection = durable(client, env["CAMPAIGNS_MONGO_DATABASE"], "shop_messages")

        def take(batch_id, run):
            with deliver(
                landing.pg, landing.store, pipeline="campaigns", batch_id=batch_id,
                sink="raw_messages", run_id=run,
            ) as delivery:  # fmt: skip
                result, found = mongo.upsert(collection, delivery, MESSAGES)
                delivery.done(rows_written=result.rows_written)
            return result.rows_written, result.unchanged, found.expected, found.ok

        def held():
            return {d["_id"]: d["message"] for d in collection.find()}

        landing.validate(batch)
        assert take(batch, "run-1") == (2, 0, 2, True)
        assert take(batch, "run-2") == (2, 2, 2, True)
        assert held() == {"r1": "Héllo", "r2": None}
        landing.validate(changed)
        assert take(changed, "run-3") == (1, 0, 1, True)
        assert held() == {"r1": "Héllo", "r2": "Bye"}
        hashes = dict(landing.query("SELECT key, row_hash FROM campaigns.record"))
        assert {d["_id"]: d["row_hash"] for d in collection.find()} == hashes
