"""The BigQuery sink against a server that speaks its protocol, compared with a plain recount."""

from __future__ import annotations

import pytest

from assets.campaigns import analytics
from assets.sinks import bigquery
from assets.sinks.result import Verification
from resources.bigquery import BigQueryResource, run
from resources.postgres import PostgresResource
from tests.integration.campaigns.world import INGESTED_AT, Event, World, at, changes, real, small

pytestmark = pytest.mark.servers("postgres", "bigquery")


@pytest.fixture
def warehouse(env):
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with resource.client() as client:
        yield analytics.warehouse_of(client, env["CAMPAIGNS_DATASET"])


def held(warehouse):
    rows = run(warehouse.client, warehouse.sql("SELECT * FROM `{user_events}`"))
    return sorted(
        (r.record_id, r.user_id, r.message, r.campaign, r.timestamp, r.row_hash, r.ingested_at)
        for r in rows
    )


def expected(world):
    return sorted(
        (e.record_id, e.user_id, e.message, e.campaign, e.timestamp, e.row_hash, INGESTED_AT)
        for e in world.events.values()
    )


def test_twice_then_changed(env, warehouse):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)
    for _ in range(2):
        result = analytics.write(chunks, warehouse, pg, batch_id="b1")
        assert (result.rows_written, result.details) == (14, {"days": 9, "loads": 1})
        assert held(warehouse) == expected(world)
    changed = world.deliver("b2", changes())
    for _ in range(2):
        analytics.write(changed, warehouse, pg, batch_id="b2")
        assert held(warehouse) == expected(world)
    assert analytics.verify(changed, warehouse).ok
    stale = analytics.verify(chunks, warehouse)
    # r1 went to another day: on its old one it is missing.
    assert (stale.expected, stale.missing, stale.differing) == (14, 1, 2)
    table = warehouse.client.get_table(warehouse.table("user_events"))
    assert table.time_partitioning.field == "timestamp"
    assert table.clustering_fields == ["user_id"]


def test_several_loads_and_leftovers(env, warehouse, monkeypatch):
    monkeypatch.setattr(bigquery, "LOAD_ROWS", 10)
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)
    result = analytics.write(chunks, warehouse, pg, batch_id="b1")
    assert result.details["loads"] == 2
    assert held(warehouse) == expected(world)
    # Nothing to write: what b1 left in staging is not merged again.
    run(warehouse.client, warehouse.sql("DELETE FROM `{user_events}` WHERE record_id = 'r2'"))
    analytics.write([], warehouse, pg, batch_id="b2")
    assert len(held(warehouse)) == 13
    assert analytics.verify(chunks, warehouse).missing == 1


def test_a_batch_that_failed_is_made_up_for_by_the_next(env, warehouse):
    """b2 moved r1 to another day but never got here: b3 still finds r1 on its first day."""
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    analytics.write(world.deliver("b1", small()), warehouse, pg, batch_id="b1")
    world.deliver("b2", [Event("r1", "user_1", "hello", None, at(22))])
    third = world.deliver("b3", [Event("r1", "user_1", "hello", None, at(23))])
    analytics.write(third, warehouse, pg, batch_id="b3")
    assert held(warehouse) == expected(world)
    analytics.write([], warehouse, pg, batch_id="b2")
    assert held(warehouse) == expected(world)


def test_verify_sees_a_second_row(env, warehouse):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small())
    analytics.write(chunks, warehouse, pg, batch_id="b1")
    run(
        warehouse.client,
        warehouse.sql(
            "INSERT INTO `{user_events}` (record_id, user_id, message, campaign, timestamp,"
            " row_hash, source, ingested_at) SELECT record_id, user_id, message, campaign,"
            " timestamp, row_hash, source, ingested_at FROM `{user_events}` WHERE record_id = 'r4'"
        ),
    )
    found = analytics.verify(chunks, warehouse)
    assert (found.differing, found.sample) == (1, ("r4",))


def test_a_batch_that_was_written_is_counted_where_it_is(env, warehouse, monkeypatch):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)
    analytics.write(chunks, warehouse, pg, batch_id="b1")
    with monkeypatch.context() as patch:

        def each(*_):
            raise AssertionError("all is well: no row has to be asked for")

        patch.setattr(bigquery, "verify", each)
        assert analytics.verify_written(lambda: chunks, warehouse, "b1") == Verification(14)
        assert analytics.verify_written(list, warehouse, "b2").ok
    one = chunks[0].item(0, "record_id")
    for change, found in (
        (f"UPDATE `{{user_events}}` SET row_hash = 'x' WHERE record_id = '{one}'", (0, 1)),
        (f"DELETE FROM `{{user_events}}` WHERE record_id = '{one}'", (1, 0)),
    ):
        run(warehouse.client, warehouse.sql(change))
        told = analytics.verify_written(lambda: chunks, warehouse, "b1")
        assert (told.expected, told.missing, told.differing, told.sample) == (14, *found, (one,))
    # Another batch has the staging table by now.
    second = world.deliver("b2", changes())
    analytics.write(second, warehouse, pg, batch_id="b2")
    assert analytics.verify_written(lambda: second, warehouse, "b2").ok
    assert not analytics.verify_written(lambda: chunks, warehouse, "b1").ok


def test_real_file(env, warehouse):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", real())
    for _ in range(2):
        analytics.write(chunks, warehouse, pg, batch_id="b1")
    assert held(warehouse) == expected(world)
    assert len(world.events) == 1170
    assert analytics.verify(chunks, warehouse).ok
