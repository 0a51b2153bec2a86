"""The index of contents to days: what it is told, filled once, and asked from then on."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import polars as pl
import psycopg
import pytest
from google.cloud.bigquery import Client

from assets.reading import content_days
from assets.reading.changes import note_changed_contents, report_changes
from assets.reading.content_days import (
    ALL_PAIRS,
    days_of_contents,
    fill,
    months_read,
    note_content_days,
    note_content_months,
)
from assets.reading.tables import warehouse_of
from tests.integration.reading.affinity_world import World, world_of
from tests.reading_stream import Systems, made_events, payload, session, wait_until

pytestmark = pytest.mark.servers("postgres", "bigquery")

ODD = -(2**63)
PAIRS = [
    (ODD, date(2024, 2, 29)),
    (ODD, date(2024, 1, 31)),
    (ODD, date(2000, 1, 1)),
    (7, date(2024, 1, 31)),
    (7, date(2024, 1, 1)),
    (7, date(2024, 1, 1)),
]


@pytest.fixture
def conn(env: Mapping[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        yield opened


@pytest.fixture
def world(env: Mapping[str, str]) -> Iterator[World]:
    with world_of(env) as opened:
        yield opened


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The queries that BigQuery is sent."""
    statements: list[str] = []
    query = Client.query

    def noting(client: Client, sql: str, **options: Any) -> Any:
        statements.append(sql)
        return query(client, sql, **options)

    monkeypatch.setattr(Client, "query", noting)
    return statements


def test_contents_have_the_days_that_were_noted(conn: psycopg.Connection[Any]) -> None:
    note_content_days(conn, PAIRS[:3])
    note_content_days(conn, PAIRS)
    note_content_days(conn, [])
    assert days_of_contents(conn, [ODD]) == [
        date(2000, 1, 1),
        date(2024, 1, 31),
        date(2024, 2, 29),
    ]
    assert days_of_contents(conn, [7, 8]) == [date(2024, 1, 1), date(2024, 1, 31)]
    assert days_of_contents(conn, []) == []


def test_events_by_the_million_leave_what_their_pairs_leave(
    conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = "SELECT * FROM reading.content_month ORDER BY content_id, month"
    note_content_days(conn, PAIRS)
    expected = conn.execute(everything).fetchall()
    conn.execute("TRUNCATE reading.content_month")
    note_content_days(conn, [(7, date(2024, 1, 1))])
    monkeypatch.setattr(content_days, "_AT_ONCE", 2)
    events = pl.DataFrame(
        {
            "content_id": [content for content, _ in (*PAIRS, (9, None))],
            "read_percent": [90.1] * len(PAIRS) + [90.0],
            "updated_at": [datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
                           for _, day in (*PAIRS, PAIRS[0])],
        }
    )  # fmt: skip
    note_content_months(conn, [months_read(events[:2]), months_read(events[2:])])
    assert conn.execute(everything).fetchall() == expected
    note_content_months(conn, [])
    note_content_months(conn, [months_read(events[-1:])])
    assert conn.execute(everything).fetchall() == expected


def test_what_is_noted_again_writes_nothing(conn: psycopg.Connection[Any]) -> None:
    note_content_days(conn, PAIRS)
    versions = "SELECT content_id, month, xmin::text, xmax::text FROM reading.content_month"
    before = sorted(conn.execute(versions).fetchall())
    note_content_days(conn, PAIRS)
    assert sorted(conn.execute(versions).fetchall()) == before


def test_writers_of_the_same_contents_lose_no_day(
    env: Mapping[str, str], conn: psycopg.Connection[Any]
) -> None:
    contents = range(40)

    def write(days: range) -> None:
        with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as own:
            for day in days:
                note_content_days(own, [(one, date(2024, 5, day)) for one in contents])

    writers = [threading.Thread(target=write, args=(range(n, 32, 3),)) for n in (1, 2, 3)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    for content in contents:
        assert days_of_contents(conn, [content]) == [date(2024, 5, n) for n in range(1, 32)]


def test_events_of_before_are_added_once_and_bigquery_is_not_asked_again(
    conn: psycopg.Connection[Any], world: World, asked: list[str]
) -> None:
    world.add_events(
        (1, content, percent, datetime(2022, 3, day, 12, tzinfo=UTC))
        for content, percent, day in [(7, 91.0, 5), (7, 90.0, 6), (7, 2400.0, 7), (8, 95.0, 8)]
    )
    with dg.DagsterInstance.ephemeral() as instance:
        note_changed_contents(conn, [7])
        assert report_changes(instance, conn, world.warehouse).days == 2
        note_changed_contents(conn, [8])
        assert report_changes(instance, conn, world.warehouse).days == 1
    assert asked == [world.warehouse.sql(ALL_PAIRS)]
    assert days_of_contents(conn, [7]) == [date(2022, 3, 5), date(2022, 3, 7)]


def test_contents_wait_for_the_end_of_a_session_that_knows_no_index(
    conn: psycopg.Connection[Any], world: World, asked: list[str]
) -> None:
    conn.execute(
        """
        INSERT INTO reading.session (session_id, state, started_at, updated_at)
        SELECT 'older', 'serving', noted_since - interval '1 minute', clock_timestamp()
        FROM reading.change_state
        """
    )
    note_changed_contents(conn, [7])
    with dg.DagsterInstance.ephemeral() as instance:
        assert report_changes(instance, conn, world.warehouse).contents == 0
        assert asked == []
        conn.execute("UPDATE reading.session SET state = 'ended'")
        assert report_changes(instance, conn, world.warehouse).contents == 1
    assert asked == [world.warehouse.sql(ALL_PAIRS)]


@pytest.mark.servers("postgres", "bigquery", "pubsub")
def test_a_session_notes_where_its_contents_are_read(
    env: Mapping[str, str], conn: psycopg.Connection[Any]
) -> None:
    systems = Systems.of(env)
    events = made_events(120)
    systems.publish(systems.reading.interaction_topic, map(payload, events))
    accepted = "SELECT 1 FROM reading.session_stream WHERE accepted = 120"
    with session(systems) as one:
        wait_until(lambda: one.errors or systems.rows(accepted))
        one.end()
    expected: dict[int, set[date]] = {}
    for _, content, percent, at in events:
        if percent > 90:
            expected.setdefault(content, set()).add(at.date())
    found = {content: set(days_of_contents(conn, [content])) for content in expected}
    assert found == expected
    [(contents,)] = systems.rows("SELECT count(DISTINCT content_id) FROM reading.content_month")
    assert contents == len(expected)
    with systems.bigquery.client() as client:
        assert fill(conn, warehouse_of(client, systems.reading.dataset))
    assert {content: set(days_of_contents(conn, [content])) for content in expected} == expected
