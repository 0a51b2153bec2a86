"""Changed days and contents on a real Postgres, and what Dagster is told of them."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from assets.reading import changes, content_days
from assets.reading.changes import note_changed_contents, note_changed_days, report_changes
from assets.reading.pipeline import USER_INTERACTION_KEY
from assets.reading.tables import warehouse_of
from resources.bigquery import BigQueryResource, run

pytestmark = pytest.mark.servers("postgres", "bigquery")

FIRST, SECOND, THIRD = date(2022, 3, 5), date(2022, 3, 6), date(2022, 3, 7)
RARE, COMMON, UNREAD = -9_007_199_254_740_993, 9_223_372_036_854_775_807, 5


@pytest.fixture
def conn(env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        yield opened


@pytest.fixture
def warehouse(env):
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with resource.client() as client:
        yield warehouse_of(client, env["READING_DATASET"])


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


def told(instance):
    """Events told by day, in the order of telling."""
    records = instance.fetch_materializations(USER_INTERACTION_KEY, limit=10_000, ascending=True)
    assert not records.has_more
    return [
        (record.partition_key, record.asset_materialization.metadata["new_events"].value)
        for record in records.records
    ]


def noted(conn):
    return conn.execute("SELECT day, events FROM reading.changed_day ORDER BY day").fetchall()


def test_days_are_told_once_with_all_that_they_gained(conn, warehouse, instance):
    assert changes.quiet_seconds(conn) is None
    note_changed_days(conn, {SECOND: 3, FIRST: 1})
    note_changed_days(conn, {SECOND: 4})
    note_changed_days(conn, {})
    assert 0 <= changes.quiet_seconds(conn) < 30
    reported = report_changes(instance, conn, warehouse)
    assert told(instance) == [("2022-03-05", 1), ("2022-03-06", 7)]
    assert (reported.days, reported.events) == (2, 8)
    assert noted(conn) == []
    assert report_changes(instance, conn, warehouse).days == 0
    assert len(told(instance)) == 2


def test_a_day_noted_by_a_transaction_that_is_rolled_back_has_not_changed(conn, warehouse):
    with conn.transaction(force_rollback=True):
        note_changed_days(conn, {FIRST: 1})
        note_changed_contents(conn, [RARE])
    assert changes.quiet_seconds(conn) is None


def test_a_day_that_has_not_begun_waits(conn, warehouse, instance):
    today = datetime.now(UTC).date()
    note_changed_days(conn, {today + timedelta(days=2): 1, today: 2})
    assert report_changes(instance, conn, warehouse).days == 1
    assert told(instance) == [(today.isoformat(), 2)]
    assert [events for _, events in noted(conn)] == [1]
    assert changes.quiet_seconds(conn) is None, "nothing can be told of it, so nothing is due"


def test_many_days_are_told_in_rounds_and_as_far_as_the_time_goes(
    conn, warehouse, instance, monkeypatch
):
    monkeypatch.setattr(changes, "DAYS_AT_ONCE", 4)
    days = [FIRST + timedelta(days=number) for number in range(10)]
    note_changed_days(conn, dict.fromkeys(days, 1))
    assert report_changes(instance, conn, warehouse, seconds=0.0).days == 4
    assert len(noted(conn)) == 6
    assert report_changes(instance, conn, warehouse).days == 6
    assert [day for day, _ in told(instance)] == [day.isoformat() for day in days]


def test_what_changes_while_it_is_told_is_told_again(env, conn, warehouse, instance, monkeypatch):
    tell = instance.report_runless_asset_event

    def tell_slowly(event):
        tell(event)
        if event.partition == FIRST.isoformat() and len(told(instance)) == 1:
            with psycopg.connect(env["POSTGRES_URL"]) as other:
                note_changed_days(other, {FIRST: 5})

    monkeypatch.setattr(instance, "report_runless_asset_event", tell_slowly)
    note_changed_days(conn, {FIRST: 1, SECOND: 1})
    report_changes(instance, conn, warehouse)
    assert told(instance) == [("2022-03-05", 1), ("2022-03-06", 1), ("2022-03-05", 5)]
    assert noted(conn) == []


def test_a_reporter_that_dies_while_telling_loses_no_day(conn, warehouse, instance, monkeypatch):
    def die(_event):
        raise SystemExit

    note_changed_days(conn, {FIRST: 1})
    with monkeypatch.context() as patched:
        patched.setattr(instance, "report_runless_asset_event", die)
        with pytest.raises(SystemExit):
            report_changes(instance, conn, warehouse)
    assert noted(conn) == [(FIRST, 1)]
    report_changes(instance, conn, warehouse)
    assert told(instance) == [("2022-03-05", 1)]


def test_writers_and_a_reporter_at_once_lose_no_event(env, conn, warehouse, instance):
    days = [FIRST + timedelta(days=number) for number in range(20)]

    def write(backwards):
        with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as own:
            for _ in range(40):
                note_changed_days(own, dict.fromkeys(days[::-1] if backwards else days, 1))

    writers = [threading.Thread(target=write, args=(turn,)) for turn in (True, False)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        report_changes(instance, conn, warehouse, seconds=0.0)
    report_changes(instance, conn, warehouse)
    sums: Counter[str] = Counter()
    for day, events in told(instance):
        sums[day] += events
    assert sums == {day.isoformat(): 80 for day in days}


def test_a_gain_that_commits_while_a_day_is_let_go_is_told_alone(
    env, conn, warehouse, instance, monkeypatch
):
    note_changed_days(conn, {FIRST: 5})
    let_go = changes._let_go
    with psycopg.connect(env["POSTGRES_URL"]) as writer:

        def while_writing(own, told_now):
            note_changed_days(writer, {FIRST: 1})
            committing = threading.Timer(0.5, writer.commit)
            committing.start()
            let_go(own, told_now)
            committing.join()

        monkeypatch.setattr(changes, "_let_go", while_writing)
        report_changes(instance, conn, warehouse, seconds=0.0)
    assert told(instance) == [("2022-03-05", 5)]
    assert noted(conn) == [(FIRST, 1)]


@pytest.fixture
def events(warehouse):
    """Three contents on three days; what was read to 90 percent or less does not count."""
    warehouse.ensure()
    rows = [
        (1, COMMON, 91.0, "2022-03-05 00:00:00"),
        (2, COMMON, 90.0, "2022-03-06 12:00:00"),
        (1, COMMON, 90.5, "2022-03-07 23:59:59.999999"),
        (1, RARE, 2_400.0, "2022-03-07 00:00:00"),
        (1, UNREAD, 12.0, "2022-03-08 00:00:00"),
    ]
    values = ", ".join(
        f"({user}, {content}, {percent}, TIMESTAMP '{at}+00', 'test', CURRENT_TIMESTAMP())"
        for user, content, percent, at in rows
    )
    statement = f"""
    INSERT INTO `{{user_interaction}}`
        (user_id, content_id, read_percent, updated_at, source, ingested_at)
    VALUES {values}
    """
    run(warehouse.client, warehouse.sql(statement))


@pytest.mark.usefixtures("events")
def test_days_with_events_of_a_content_that_gained_a_category_have_changed(
    conn, warehouse, instance, monkeypatch
):
    monkeypatch.setattr(changes, "CONTENTS_AT_ONCE", 2)
    note_changed_days(conn, {THIRD: 9})
    note_changed_contents(conn, [RARE, COMMON, UNREAD, 777, RARE])
    note_changed_contents(conn, [])
    reported = report_changes(instance, conn, warehouse)
    assert told(instance) == [("2022-03-05", 0), ("2022-03-07", 9)]
    assert reported.contents == 4
    assert conn.execute("SELECT count(*) FROM reading.changed_content").fetchone() == (0,)


@pytest.mark.usefixtures("events")
def test_a_content_that_changes_while_its_days_are_looked_up_is_looked_up_again(
    env, conn, warehouse, instance, monkeypatch
):
    lookups = []
    look_up = content_days.days_of_contents

    def look_up_slowly(own, content_ids):
        lookups.append(list(content_ids))
        days = look_up(own, content_ids)
        if len(lookups) == 1:
            with closing(psycopg.connect(env["POSTGRES_URL"], autocommit=True)) as other:
                note_changed_contents(other, [RARE])
        return days

    monkeypatch.setattr(content_days, "days_of_contents", look_up_slowly)
    note_changed_contents(conn, [RARE, COMMON])
    report_changes(instance, conn, warehouse)
    assert [sorted(ids) for ids in lookups] == [[RARE, COMMON], [RARE]]
    assert [day for day, _ in told(instance)] == ["2022-03-05", "2022-03-07"]
