"""The BigQuery sink against a server that speaks its protocol, compared with a plain recount."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core.exceptions import BadRequest, Forbidden

from assets.campaigns import analytics
from assets.sinks import bigquery, bigquery_merging
from assets.sinks.bigquery import Warehouse
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


@pytest.fixture
def loading(monkeypatch):
    """Even a few rows are loaded, as many are."""
    monkeypatch.setattr(bigquery_merging, "STATEMENT_ROWS", 0)


@pytest.fixture(params=["loaded", "with the statement"])
def loads(request):
    """Load jobs of a small batch, one way or the other."""
    if request.param == "loaded":
        request.getfixturevalue("loading")
        return 1
    return 0


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


def test_twice_then_changed(env, warehouse, loads):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)
    for _ in range(2):
        result = analytics.write(chunks, warehouse, pg, batch_id="b1")
        assert (result.rows_written, result.details) == (14, {"days": 9, "loads": loads})
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


@pytest.mark.usefixtures("loading")
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


@pytest.mark.usefixtures("loads")
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


@pytest.mark.usefixtures("loading")
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


def test_more_days_than_a_job_may_write_are_several_statements(env, warehouse, monkeypatch):
    """Rows that move from one part's days to another's, too; each statement within its days."""
    monkeypatch.setattr(bigquery_merging, "STATEMENT_DAYS", 4)
    statements: list[int] = []
    execute = Warehouse.run

    def counted(self, template, parameters=()):
        own = {one.name: one.values for one in parameters if one.name == "own_days"}
        if template.lstrip().startswith("MERGE"):
            statements.append(len(own.get("own_days", ())))
        return execute(self, template, parameters)

    monkeypatch.setattr(Warehouse, "run", counted)
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    spread = [Event(f"r{n}", "u", "m", "c", at(1 + n % 28)) for n in range(60)]
    chunks = world.deliver("b1", spread, 7)
    for _ in range(2):
        analytics.write(chunks, warehouse, pg, batch_id="b1")
        assert held(warehouse) == expected(world)
    assert statements == [4] * 14
    moved = [Event(f"r{n}", "u", "other", "c", at(28 - n % 28)) for n in range(0, 60, 2)]
    analytics.write(world.deliver("b2", moved), warehouse, pg, batch_id="b2")
    assert held(warehouse) == expected(world)
    assert analytics.verify(chunks, warehouse).expected == 60


def test_rows_too_old_for_a_table_of_10_000_days_are_told_and_the_others_written(env, warehouse):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    old = INGESTED_AT - timedelta(days=9_000)
    events = [
        Event("new", "u", "m", "c", at(3)),
        Event("old", "u", "m", "c", old),
        Event("older", "u", "m", "c", old - timedelta(microseconds=1)),
    ]
    chunks, told = world.deliver("b1", events), dict[str, str]()
    result = analytics.write(
        chunks, warehouse, pg, batch_id="b1", refuse=lambda key, why: told.update({key: why})
    )
    assert result.rows_written == 2
    assert list(told) == ["older"]
    assert "10,000 partitions" in told["older"]
    assert [row[0] for row in held(warehouse)] == ["new", "old"]


def test_what_is_there_needs_no_right_to_create_it(env, warehouse, monkeypatch):
    warehouse.ensure()

    def forbidden(*_, **__):
        raise Forbidden("Access Denied: User does not have bigquery.datasets.create permission")

    monkeypatch.setattr(warehouse.client, "create_dataset", forbidden)
    monkeypatch.setattr(warehouse.client, "create_table", forbidden)
    warehouse.ensure()
    other = Warehouse(warehouse.client, "not_there", warehouse.tables)
    with pytest.raises(Forbidden, match=r"datasets\.create"):
        other.ensure()


def test_a_row_that_bigquery_refuses_in_a_statement_is_found_by_loading(
    env, warehouse, monkeypatch
):
    def refused(*_, **__):
        raise BadRequest("no", errors=[{"reason": "invalid", "message": "no"}])

    monkeypatch.setattr(analytics, "merge_rows", refused)
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    result = analytics.write(world.deliver("b1", small()), warehouse, pg, batch_id="b1")
    assert (result.rows_written, result.details["loads"]) == (14, 1)
    assert held(warehouse) == expected(world)


def test_real_file(env, warehouse):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", real())
    for _ in range(2):
        analytics.write(chunks, warehouse, pg, batch_id="b1")
    assert held(warehouse) == expected(world)
    assert len(world.events) == 1170
    assert analytics.verify(chunks, warehouse).ok
