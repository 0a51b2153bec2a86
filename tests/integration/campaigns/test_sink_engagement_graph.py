"""The graph sink over Bolt, compared with a recount in plain Python."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from assets.campaigns import graph
from assets.sinks.neo4j import Graph
from assets.sinks.result import Verification
from resources.neo4j import Neo4jResource
from resources.postgres import PostgresResource
from tests.integration.campaigns.world import Event, World, at, changes, real, small

pytestmark = pytest.mark.servers("postgres", "bolt")


@pytest.fixture
def target(env):
    resource = Neo4jResource(
        uri=env["NEO4J_URI"],
        user=env["NEO4J_USER"],
        password=env["NEO4J_PASSWORD"],
        database=env["NEO4J_DATABASE"],
    )
    with resource.driver() as driver:
        yield Graph(driver, resource.database)


def native(moment):
    return moment.to_native().replace(tzinfo=UTC)


def held(target: Graph) -> dict[str, list[Any]]:
    def rows(statement):
        return sorted(tuple(r.values()) for r in target.run(statement))

    return {
        "users": rows("MATCH (u:User) RETURN u.user_id"),
        "campaigns": rows("MATCH (c:Campaign) RETURN c.campaign"),
        "events": sorted(
            (r[0], r[1], native(r[2]))
            for r in target.run("MATCH (e:Event) RETURN e.record_id, e.row_hash, e.timestamp")
        ),
        "performed": rows("MATCH (u)-[:PERFORMED]->(e) RETURN u.user_id, e.record_id"),
        "part_of": rows("MATCH (e)-[:PART_OF]->(c) RETURN e.record_id, c.campaign"),
        "participated": sorted(
            (r[0], r[1], r[2], native(r[3]), native(r[4]))
            for r in target.run(
                "MATCH (u)-[p:PARTICIPATED_IN]->(c) RETURN u.user_id, c.campaign, p.events,"
                " p.first_seen, p.last_seen"
            )
        ),
        "targeted": sorted(
            (r[0], r[1], native(r[2]))
            for r in target.run(
                "MATCH (u)-[t:TARGETED_BY]->(c) RETURN u.user_id, c.campaign, t.first_seen"
            )
        ),
    }


def expected(world: World) -> dict[str, object]:
    events = list(world.events.values())
    pairs = world.pairs()
    return {
        "users": sorted({(e.user_id,) for e in events}),
        "campaigns": sorted({(e.campaign,) for e in events if e.campaign}),
        "events": sorted((e.record_id, e.row_hash, e.timestamp) for e in events),
        "performed": sorted((e.user_id, e.record_id) for e in events),
        "part_of": sorted((e.record_id, e.campaign) for e in events if e.campaign),
        "participated": sorted((u, c, n, a, b) for (u, c), (n, a, b) in pairs.items()),
        "targeted": sorted((u, c, a) for (u, c), (_, a, _) in pairs.items()),
    }


def test_twice_then_changed(env, target):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)
    first = graph.write(chunks, target, pg, batch_id="b1")
    assert (first.rows_written, first.unchanged, first.vouched) == (14, 0, True)
    assert held(target) == expected(world)
    again = graph.write(chunks, target, pg, batch_id="b1")
    assert (again.rows_written, again.unchanged, again.vouched) == (14, 14, False)
    assert held(target) == expected(world)

    changed = world.deliver("b2", changes())
    result = graph.write(changed, target, pg, batch_id="b2")
    assert held(target) == expected(world)
    assert result.deleted == 2  # user_5 and Once_Only
    graph.write(changed, target, pg, batch_id="b2")
    assert held(target) == expected(world)
    assert graph.verify(changed, target).ok
    stale = graph.verify(chunks, target)
    assert (stale.expected, stale.missing, stale.differing) == (14, 0, 3)


def test_a_batch_that_failed_is_made_up_for_by_the_next(env, target):
    """b2 changed r1 but never reached the graph; b3 changes it again; b2 comes late, or never."""
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    graph.write(world.deliver("b1", small()), target, pg, batch_id="b1")
    world.deliver("b2", [Event("r14", "user_20", "hello", "Winter", at(22))])
    third = [Event("r14", "user_21", "hello", "Spring", at(23))]
    graph.write(world.deliver("b3", third), target, pg, batch_id="b3")
    assert held(target) == expected(world)
    graph.write([], target, pg, batch_id="b2")
    assert held(target) == expected(world)


def test_killed_in_the_middle(env, target):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small(), 5)

    def dying():
        yield chunks[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph.write(dying(), target, pg, batch_id="b1")
    assert graph.verify(chunks, target).missing == 9
    graph.write(chunks, target, pg, batch_id="b1")
    assert held(target) == expected(world)


@pytest.mark.parametrize("campaign", ["None", "null", "several campaigns", "a/b"])
def test_killed_between_the_events_and_their_edges(env, target, monkeypatch, campaign):
    """Whatever the campaign is called: an event without its edge is not taken for one with it."""
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    events = [Event("r1", "u", "hello", campaign, at(1)), Event("r2", "u", "you", campaign, at(2))]
    chunks = world.deliver("b1", events)
    with monkeypatch.context() as patch:
        patch.setattr(graph, "CREATE_CAMPAIGN_EVENTS", graph.CREATE_EVENTS)

        def die(*_):
            raise KeyboardInterrupt

        patch.setattr(graph, "_write_participation", die)
        with pytest.raises(KeyboardInterrupt):
            graph.write(chunks, target, pg, batch_id="b1")
    assert held(target)["part_of"] == []
    assert graph.verify(chunks, target).differing == 2
    graph.write(chunks, target, pg, batch_id="b1")
    assert held(target) == expected(world)


def test_verify_sees_wrong_edges(env, target):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small())
    graph.write(chunks, target, pg, batch_id="b1")
    target.run("MATCH (e:Event {record_id: 'r1'})-[p:PART_OF]->() DELETE p")
    target.run(
        "MATCH (e:Event {record_id: 'r2'}) MATCH (u:User {user_id: 'user_2'})"
        " MERGE (u)-[:PERFORMED]->(e)"
    )
    target.run("MATCH (e:Event {record_id: 'r3'}) DETACH DELETE e")
    found = graph.verify(chunks, target)
    assert (found.missing, found.differing) == (1, 2)
    assert set(found.sample) == {"r1", "r2", "r3"}
    graph.write(chunks, target, pg, batch_id="b1")
    assert held(target) == expected(world)


def test_events_whose_user_vanished_are_not_vouched_for(env, target, monkeypatch):
    """What a statement did not find it does not create; its counters say so."""
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small())
    monkeypatch.setattr(graph, "MERGE_USERS", "UNWIND $rows AS row RETURN row")
    result = graph.write(chunks, target, pg, batch_id="b1")
    assert not result.vouched
    assert graph.verify(chunks, target).missing == 14


EVENT = "MATCH (e:Event {record_id: '%s'}) "


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        ("r2", "SET e.row_hash = 'x'"),
        ("r1", "MATCH (e)-[p:PART_OF]->() DELETE p"),
        ("r1", "MATCH (e)-[:PART_OF]->(c) CREATE (e)-[:PART_OF]->(c)"),
        ("r2", "MATCH (e)<-[:PERFORMED]-(u) CREATE (u)-[:PERFORMED]->(e)"),
    ],
    ids=["hash", "no campaign", "campaign twice", "user twice"],
)
def test_one_wrong_thing_is_seen_and_named(env, target, record, wrong):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small())
    graph.write(chunks, target, pg, batch_id="b1")
    target.run(EVENT % record + wrong)
    found = graph.verify(chunks, target)
    assert (found.missing + found.differing, found.sample) == (1, (record,))


def test_rows_that_are_right_are_counted_where_they_are(env, target, monkeypatch):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", small())
    graph.write(chunks, target, pg, batch_id="b1")

    def each(*_):
        raise AssertionError("all is well: no row has to be asked for")

    monkeypatch.setattr(graph, "_read", each)
    assert graph.verify(chunks, target) == Verification(sum(one.height for one in chunks))


def test_real_file(env, target):
    pg = PostgresResource(url=env["POSTGRES_URL"])
    world = World(pg.url)
    chunks = world.deliver("b1", real())
    for _ in range(2):
        graph.write(chunks, target, pg, batch_id="b1")
    found = held(target)
    assert found == expected(world)
    assert {name: len(rows) for name, rows in found.items()} == {
        "users": 1000,
        "campaigns": 7,
        "events": 1170,
        "performed": 1170,
        "part_of": 894,
        "participated": 867,
        "targeted": 867,
    }
