"""The engagement graph in Neo4j.

    (User)-[:PERFORMED]->(Event)-[:PART_OF]->(Campaign)
    (User)-[:PARTICIPATED_IN {events, first_seen, last_seen}]->(Campaign)
    (User)-[:TARGETED_BY {first_seen}]->(Campaign)

Belongs here: constraints, statements, their order. Does not: how one is run
(``assets/sinks/neo4j.py``).
Every event has its PERFORMED, with or without a campaign. Totals are set from all current
records of a touched (user, campaign), never incremented. One writer at a time.
Statements find an event by its constraint first and walk from there: a pattern that starts at a
label is walked from that label by some servers, whatever the other end is bound to.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from assets.campaigns.touched import Touched, touched
from assets.sinks.isolating import Isolating
from assets.sinks.neo4j import BATCH_ROWS, Graph, parts, refusal
from assets.sinks.result import SinkResult, Verification, compared

if TYPE_CHECKING:
    import polars as pl

    from resources.postgres import PostgresResource

Rows = list[dict[str, Any]]

CONSTRAINTS = (
    "CREATE CONSTRAINT user_id IF NOT EXISTS FOR (u:User) REQUIRE u.user_id IS UNIQUE",
    "CREATE CONSTRAINT campaign IF NOT EXISTS FOR (c:Campaign) REQUIRE c.campaign IS UNIQUE",
    "CREATE CONSTRAINT record_id IF NOT EXISTS FOR (e:Event) REQUIRE e.record_id IS UNIQUE",
)
MERGE_USERS = "UNWIND $rows AS row MERGE (:User {user_id: row})"
MERGE_CAMPAIGNS = "UNWIND $rows AS row MERGE (:Campaign {campaign: row})"
KNOWN_EVENTS = "UNWIND $rows AS row MATCH (e:Event {record_id: row}) RETURN e.record_id AS id"

# An event and its edges are created in one transaction, so a known event has had its edges.
CREATE_EVENTS = """
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
CREATE (u)-[:PERFORMED]->(:Event {
    record_id: row.record_id, timestamp: row.timestamp, row_hash: row.row_hash})
"""
CREATE_CAMPAIGN_EVENTS = """
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (c:Campaign {campaign: row.campaign})
CREATE (u)-[:PERFORMED]->(:Event {
    record_id: row.record_id, timestamp: row.timestamp, row_hash: row.row_hash})-[:PART_OF]->(c)
"""
SET_EVENTS = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
SET e.timestamp = row.timestamp, e.row_hash = row.row_hash
"""
DELETE_STALE_PERFORMED = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
MATCH (e)<-[p:PERFORMED]-(u:User)
WHERE u.user_id <> row.user_id
DELETE p
"""
DELETE_STALE_PART_OF = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
MATCH (e)-[p:PART_OF]->(c:Campaign)
WHERE row.campaign IS NULL OR c.campaign <> row.campaign
DELETE p
"""
# Not MERGE, which may walk all edges of a busy user or campaign for each row.
ADD_PERFORMED = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
WHERE NOT EXISTS { (e)<-[:PERFORMED]-(:User) }
MATCH (u:User {user_id: row.user_id})
CREATE (u)-[:PERFORMED]->(e)
"""
ADD_PART_OF = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
WHERE NOT EXISTS { (e)-[:PART_OF]->(:Campaign) }
MATCH (c:Campaign {campaign: row.campaign})
CREATE (e)-[:PART_OF]->(c)
"""
SET_PARTICIPATION = """
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (c:Campaign {campaign: row.campaign})
MERGE (u)-[p:PARTICIPATED_IN]->(c)
SET p.events = row.events, p.first_seen = row.first_seen, p.last_seen = row.last_seen
MERGE (u)-[t:TARGETED_BY]->(c)
SET t.first_seen = row.first_seen
"""
DELETE_PARTICIPATION = """
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (u)-[p:PARTICIPATED_IN|TARGETED_BY]->(c:Campaign)
WHERE c.campaign = row.campaign
DELETE p
"""
DELETE_USERS = """
UNWIND $rows AS row
MATCH (u:User {user_id: row})
WHERE NOT EXISTS { (u)-[:PERFORMED]->(:Event) }
DETACH DELETE u
RETURN count(*) AS deleted
"""
DELETE_CAMPAIGNS = """
UNWIND $rows AS row
MATCH (c:Campaign {campaign: row})
WHERE NOT EXISTS { (c)<-[:PART_OF]-(:Event) }
DETACH DELETE c
RETURN count(*) AS deleted
"""
# Of rows whose counts are all the same, and that of their edges, each has one edge, the right one.
COUNT_PERFORMED = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
MATCH (e)<-[:PERFORMED]-(u:User)
RETURN count(*) AS edges, count(DISTINCT e.record_id) AS events,
    sum(CASE WHEN e.row_hash = row.row_hash AND u.user_id = row.user_id THEN 1 ELSE 0 END) AS equal
"""
COUNT_PART_OF = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row.record_id})
MATCH (e)-[:PART_OF]->(c:Campaign)
RETURN count(*) AS edges, count(DISTINCT e.record_id) AS events,
    sum(CASE WHEN c.campaign = row.campaign THEN 1 ELSE 0 END) AS equal
"""
READ_EVENTS = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row})
MATCH (e)<-[:PERFORMED]-(u:User)
RETURN row AS id, e.row_hash AS row_hash, u.user_id AS user_id
"""
READ_CAMPAIGNS = """
UNWIND $rows AS row
MATCH (e:Event {record_id: row})
MATCH (e)-[:PART_OF]->(c:Campaign)
RETURN row AS id, c.campaign AS campaign
"""

_PARTICIPATION = """
SELECT t.user_id, t.campaign, count(r.key) AS events,
    min(r.event_time) AS first_seen, max(r.event_time) AS last_seen
FROM (SELECT DISTINCT user_id, campaign FROM touched WHERE campaign IS NOT NULL) AS t
LEFT JOIN campaigns.record AS r ON r.user_id = t.user_id AND r.campaign = t.campaign
GROUP BY t.user_id, t.campaign ORDER BY t.user_id, t.campaign
"""
_EMPTY_USERS = """
SELECT DISTINCT user_id FROM touched AS t
WHERE NOT EXISTS (SELECT FROM campaigns.record AS r WHERE r.user_id = t.user_id)
"""
_CAMPAIGNS = "SELECT DISTINCT campaign FROM touched WHERE campaign IS NOT NULL"
_EVENT_COLUMNS = ("record_id", "user_id", "campaign", "timestamp", "row_hash")
_READ_COLUMNS = ("record_id", "user_id", "campaign", "row_hash")


def write(
    chunks: Iterable[pl.DataFrame],
    graph: Graph,
    pg: PostgresResource,
    *,
    batch_id: str,
    refuse: Callable[[str, str], None] | None = None,
) -> SinkResult:
    """Write every row's event with its edges, then what is derived from all that was touched.

    ``refuse`` is told of records whose values Neo4j refuses while it takes others. ``unchanged``
    are events that were there already, equal or not; ``deleted`` are users and campaigns without
    any event. ``details``: participations. ``vouched`` when Neo4j's counters say of every event
    that it was created with its edges. Raises neo4j's errors; what was written before stays, and is
    completed when the batch is written again.
    """
    started = time.monotonic()
    graph.ensure(CONSTRAINTS)
    counted: list[tuple[int, int, bool]] = []

    def refused(rows: pl.DataFrame, detail: str) -> None:
        if refuse:
            refuse(rows.item(0, "record_id"), detail)

    isolating: Isolating[pl.DataFrame] = Isolating(refusal, refused if refuse else None)
    with touched(pg, batch_id) as batch:
        for chunk in batch.passing(chunks):
            for rows in chunk.iter_slices(BATCH_ROWS):
                isolating.write(
                    rows,
                    lambda part: counted.append((part.height, *_write_events(part, graph))),
                )
        isolating.settle()
        participations = _write_participation(batch, graph)
        deleted = _delete_empty(batch, graph)
    seconds = time.monotonic() - started
    written, known = (sum(one[at] for one in counted) for at in (0, 1))
    details = {"participations": participations}
    vouched = all(one[2] for one in counted)
    return SinkResult(written, known, deleted, seconds, details, vouched)


def verify(chunks: Iterable[pl.DataFrame], graph: Graph) -> Verification:
    """Every row's event is there with its hash, one PERFORMED by its user, PART_OF its campaign."""
    total = Verification()
    for chunk in chunks:
        for rows in chunk.iter_slices(BATCH_ROWS):
            events = rows.select(_READ_COLUMNS).to_dicts()
            if _all_there(events, graph):
                total = total.plus(Verification(len(events)))
                continue
            expected = {event["record_id"]: _reading(event) for event in events}
            total = total.plus(compared(expected, _read(graph, list(expected))))
    return total


def _all_there(events: Rows, graph: Graph) -> bool:
    """Whether each has one edge of each kind, the right one: counted where they are."""
    of_campaigns = sum(1 for event in events if event["campaign"] is not None)
    for statement, wanted in ((COUNT_PERFORMED, len(events)), (COUNT_PART_OF, of_campaigns)):
        (counts,) = graph.run(statement, events)
        if {counts["edges"], counts["events"], counts["equal"] or 0} != {wanted}:
            return False
    return True


def _write_events(rows: pl.DataFrame, graph: Graph) -> tuple[int, bool]:
    """How many were there already; and whether all were created now, each with all its edges."""
    graph.run(MERGE_USERS, rows["user_id"].unique().sort().to_list())
    graph.run(MERGE_CAMPAIGNS, rows["campaign"].drop_nulls().unique().sort().to_list())
    known = {record["id"] for record in graph.run(KNOWN_EVENTS, rows["record_id"].to_list())}
    events: Rows = rows.select(_EVENT_COLUMNS).to_dicts()
    new = [event for event in events if event["record_id"] not in known]
    alone = [event for event in new if event["campaign"] is None]
    in_campaign = [event for event in new if event["campaign"] is not None]
    created = (
        graph.created(CREATE_EVENTS, alone),
        graph.created(CREATE_CAMPAIGN_EVENTS, in_campaign),
    )
    _rewrite_events([event for event in events if event["record_id"] in known], graph)
    each = (len(alone), len(in_campaign))
    return len(known), not known and created == ((each[0], each[0]), (each[1], 2 * each[1]))


def _rewrite_events(events: Rows, graph: Graph) -> None:
    """Set what known events hold; mend the edges of those that read otherwise."""
    if not events:
        return
    found = _read(graph, [event["record_id"] for event in events])
    graph.write(SET_EVENTS, events)
    wrong = [event for event in events if found.get(event["record_id"]) != _reading(event)]
    for statement in (DELETE_STALE_PERFORMED, DELETE_STALE_PART_OF, ADD_PERFORMED):
        graph.write(statement, wrong)
    graph.write(ADD_PART_OF, [event for event in wrong if event["campaign"] is not None])


def _write_participation(batch: Touched, graph: Graph) -> int:
    """Set what users have with campaigns, remove what they have no more; returns how many set."""
    pairs = batch.stream(_PARTICIPATION)
    written = 0
    for part in parts(pairs):
        rows = [
            {"user_id": user, "campaign": campaign, "events": events, "first_seen": first,
             "last_seen": last}
            for user, campaign, events, first, last in part
        ]  # fmt: skip
        current = [row for row in rows if row["events"]]
        graph.write(SET_PARTICIPATION, current)
        graph.write(DELETE_PARTICIPATION, [row for row in rows if not row["events"]])
        written += len(current)
    return written


def _delete_empty(batch: Touched, graph: Graph) -> int:
    """Remove touched users and campaigns that have no event left; returns how many."""
    deleted = 0
    for statement, query in ((DELETE_USERS, _EMPTY_USERS), (DELETE_CAMPAIGNS, _CAMPAIGNS)):
        for part in parts(batch.stream(query)):
            records = graph.run(statement, [row[0] for row in part])
            deleted += sum(record["deleted"] for record in records)
    return deleted


def _reading(event: Mapping[str, Any]) -> str:
    """What ``_read`` says of an event that is as it should be.

    JSON, for a campaign may be called None, and any name may hold what would stand between names.
    """
    return json.dumps([event["row_hash"], event["user_id"], event["campaign"]])


def _read(graph: Graph, ids: list[str]) -> dict[str, str]:
    """What is there by record id; an event with several users or campaigns reads as no other."""
    campaigns: dict[str, list[str]] = {}
    for record in graph.run(READ_CAMPAIGNS, ids):
        campaigns.setdefault(record["id"], []).append(record["campaign"])
    found: dict[str, str] = {}
    for record in graph.run(READ_EVENTS, ids):
        key, of_event = record["id"], campaigns.get(record["id"], [])
        several = key in found or len(of_event) > 1
        campaign = of_event[0] if of_event else None
        found[key] = "several" if several else _reading({**record, "campaign": campaign})
    return found
