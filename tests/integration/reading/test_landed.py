"""What Google's services land as text becomes what a session makes of the same messages."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from assets.reading.kinds import CATEGORIES as CATEGORY
from assets.reading.kinds import EVENTS as EVENT
from assets.reading.managed_ingestion.landed import merge_landed
from assets.reading.rules import Rejection
from assets.reading.stream.messages import parse
from assets.reading.tables import INTERACTIONS_LANDED as LANDED
from assets.reading.tables import LANDED as ALL_LANDED
from assets.reading.tables import META_LANDED, warehouse_of
from local.services.pubsub import kept_subscription
from resources.bigquery import BigQueryResource, run
from resources.pubsub import PubSubResource

pytestmark = [
    pytest.mark.servers("postgres", "bigquery", "pubsub"),
    pytest.mark.filterwarnings("ignore:The return_immediately flag"),
]

PUBLISHED = datetime(2026, 11, 22, 12, tzinfo=UTC)
BEGAN = datetime.now(UTC)


def event(user=1, content=2, percent="3.5", at='"2022-03-04 05:06:07.089"'):
    return (
        f'{{"user_id": {user}, "content_id": {content}, "read_percent": {percent}, '
        f'"updated_at": {at}}}'
    )


EVENTS = [
    event(),
    event(),  # twice
    event(percent="3.50"),  # the same number
    event(user=-(2**63), content=2**63 - 1, percent="2400"),
    event(percent="100.00000000000001"),
    event(percent="-0.0", user=7),
    event(percent="0", user=7),
    event(percent="9e1", user=8),
    event(at='"2022-03-04"'),
    event(at='"2022-03-04T05:06"'),
    event(at='"2022-03-04 05:06:07.123456"'),
    event(at='"2022-03-04 23:30:00+0530"'),
    event(at='"2022-03-04T23:30:00-02:00"'),
    event(at='"2022-03-04 05:06Z"'),
    event(at='"2000-01-01"'),
    event(at='"2026-11-22 12:04:00"'),
    event(at='"2026-11-22 23:59:59"'),
    '{"extra": {"a": [1]}, ' + event(user=9)[1:],
    # not taken
    event(at='"2026-11-23 00:00:00"'),
    event(at='"1999-12-31 23:59:59.999"'),
    event(at='"2022-02-30"'),
    event(at='"2022-03-04 25:00:00"'),
    event(at='"22-03-04"'),
    event(at='"2022-03-04 05:06:07.1234567"'),
    event(at="20220304"),
    event(user='"1"'),
    event(user="1.0"),
    event(user="null"),
    event(user="true"),
    event(content=2**63),
    event(percent="-0.5"),
    event(percent='"3"'),
    '{"user_id": 1, "content_id": 2, "read_percent": 3}',
    "[1, 2]",
    '"text"',
    "user 1 read 2",
    event()[:-1],
    "",
    '{"user_id": 1, "pad": "' + "x" * 70_000 + '"}',
]  # fmt: skip

CATEGORIES = [
    '{"content_id": 5, "category_name": "life"}',
    '{"content_id": 5, "category_name": " \\u00a0life\\t"}',
    '{"content_id": -5, "category_name": "poe\\u0301sie"}',
    '{"content_id": -5, "category_name": "poésie"}',
    '{"content_id": 6, "category_name": "' + "ö" * 200 + '"}',
    '{"content_id": 6, "category_name": "' + "ö" * 201 + '"}',
    '{"content_id": 6, "category_name": " \\u2003 "}',
    '{"content_id": 6, "category_name": null}',
    '{"content_id": "6", "category_name": "life"}',
    '{"content_id": 9223372036854775808, "category_name": "life"}',
    '{"category_name": "life"}',
]


@pytest.fixture
def warehouse(env):
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
    )
    with bigquery.client() as client:
        made = warehouse_of(client, env["READING_DATASET"], *ALL_LANDED)
        made.ensure()
        yield made


def land(warehouse, table, messages, first_id):
    """As a BigQuery subscription does, through the REST API."""
    errors = warehouse.client.insert_rows_json(
        warehouse.table(table.name),
        [
            {
                "data": data,
                "message_id": str(first_id + n),
                "publish_time": PUBLISHED.isoformat(),
                "attributes": "{}",
            }
            for n, data in enumerate(messages)
        ],
    )
    assert errors == []


def pubsub(env):
    return PubSubResource(
        project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env["PUBSUB_EMULATOR_HOST"]
    )


def merge(warehouse, env, since, now):
    broker = pubsub(env)
    dead = [
        broker.topic_path(env[f"READING_{flow}_DEAD_TOPIC"]) for flow in ("INTERACTION", "META")
    ]
    with (
        psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection,
        broker.publisher() as publisher,
    ):
        return merge_landed(
            warehouse,
            connection,
            since=since,
            now=now,
            zone="UTC",
            publisher=publisher,
            dead_letters={EVENT: ("events", dead[0]), CATEGORY: ("categories", dead[1])},
        )


def dead_letters(env, flow):
    """What the dead-letter topic's own subscription holds: reason and text."""
    broker, found = pubsub(env), []
    with broker.subscriber() as subscriber:
        path = broker.subscription_path(kept_subscription(env[f"READING_{flow}_DEAD_TOPIC"]))
        while pulled := subscriber.pull(
            subscription=path, max_messages=100, return_immediately=True, timeout=10
        ).received_messages:
            found += [(m.message.attributes["reason"], m.message.data.decode()) for m in pulled]
            subscriber.acknowledge(
                subscription=path, ack_ids=[m.ack_id for m in pulled], timeout=10
            )
    return Counter(found)


def changes(env):
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        days = dict(connection.execute("DELETE FROM reading.changed_day RETURNING day, events"))
        contents = connection.execute("DELETE FROM reading.changed_content RETURNING content_id")
        return days, {row[0] for row in contents}


def test_the_rules_are_those_of_a_session_and_the_result_is_exact(warehouse, env):
    land(warehouse, LANDED, EVENTS, 1)
    land(warehouse, META_LANDED, CATEGORIES, 1001)
    parsed = [parse(EVENT, data.encode(), PUBLISHED) for data in EVENTS]
    named = [parse(CATEGORY, data.encode(), PUBLISHED) for data in CATEGORIES]
    read = [found for found in parsed if not isinstance(found, Rejection)]
    good: set[tuple[Any, ...]] = {tuple(found) for found in read}
    pairs = {tuple(found) for found in named if not isinstance(found, Rejection)}
    bad = Counter(f.reason for f in (*parsed, *named) if isinstance(f, Rejection))
    assert (len(good), len(pairs)) == (14, 3)

    merged = merge(warehouse, env, None, BEGAN)

    rows = run(warehouse.client, warehouse.sql("SELECT * FROM `{user_interaction}`"))
    stored = [(r.user_id, r.content_id, r.read_percent, r.updated_at) for r in rows]
    assert Counter(stored) == Counter(good)
    rows = run(warehouse.client, warehouse.sql("SELECT * FROM `{content_meta}`"))
    assert Counter((r.content_id, r.category_name) for r in rows) == Counter(pairs)
    assert (merged.events, merged.categories) == (len(good), len(pairs))
    assert merged.messages == len(EVENTS) + len(CATEGORIES)
    assert dict(merged.rejected) == dict(bad)
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        kept = connection.execute(
            "SELECT message_id::int, reason, convert_from(data, 'UTF8') "
            "FROM reading.rejected_message"
        ).fetchall()
    texts = dict(enumerate(EVENTS, 1)) | dict(enumerate(CATEGORIES, 1001))
    found = dict(enumerate(parsed, 1)) | dict(enumerate(named, 1001))
    assert {(n, reason, text) for n, reason, text in kept} == {
        (n, result.reason, texts[n]) for n, result in found.items() if isinstance(result, Rejection)
    }
    for flow, spans in (("INTERACTION", range(1, 1000)), ("META", range(1001, 2000))):
        assert dead_letters(env, flow) == Counter(
            (reason, text) for n, reason, text in kept if n in spans
        )
    days, contents = changes(env)
    assert days == Counter(row[3].date() for row in good)
    assert contents == {5, -5, 6}

    later = BEGAN + timedelta(minutes=1)
    again = merge(warehouse, env, BEGAN + timedelta(seconds=1), later)
    assert (again.events, again.categories) == (0, 0)
    assert changes(env) == ({}, set())
    assert dead_letters(env, "INTERACTION").total() == 0, "each once"


def test_a_merge_that_died_before_it_noted_what_changed_is_made_up_for(warehouse, env):
    land(warehouse, LANDED, [event()], 1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert merge(warehouse, env, tomorrow, tomorrow).messages == 0, "it arrived long before"
    assert merge(warehouse, env, None, BEGAN).events == 1
    changes(env)  # as if it had died before
    again = merge(warehouse, env, None, BEGAN + timedelta(minutes=1))
    assert again.events == 0
    assert changes(env)[0] == {date(2022, 3, 4): 1}


def test_the_asset_remembers_when_it_began(warehouse, env):
    from assets.reading.managed_ingestion.assets import BEGAN as KEY
    from assets.reading.managed_ingestion.assets import LANDED_KEY, reading_landed_messages
    from assets.reading.settings import ReadingSettings
    from resources.postgres import PostgresResource

    names = ReadingSettings.model_fields
    settings = {name: 1 if field.annotation is int else "name" for name, field in names.items()} | {
        "dataset": env["READING_DATASET"],
        "stream": "dataflow",
        "zone": "UTC",
        "interaction_dead_topic": env["READING_INTERACTION_DEAD_TOPIC"],
        "meta_dead_topic": env["READING_META_DEAD_TOPIC"],
    }
    resources = {
        "bigquery": BigQueryResource(
            project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env["BIGQUERY_API_ENDPOINT"]
        ),
        "postgres": PostgresResource(url=env["POSTGRES_URL"]),
        "pubsub": pubsub(env),
        "reading": ReadingSettings(**settings),
    }
    land(warehouse, LANDED, [event(), event(user=2), "bad"], 1)
    with dg.DagsterInstance.ephemeral() as instance:
        figures = []
        for _ in range(2):
            dg.materialize([reading_landed_messages], resources=resources, instance=instance)
            last = instance.get_latest_materialization_event(LANDED_KEY)
            figures.append(
                {name: value.value for name, value in last.asset_materialization.metadata.items()}
            )
    assert [(f["events"], f["rejected"], f["rejected_not_json"]) for f in figures] == [
        (2, 1, 1), (0, 1, 1),
    ]  # fmt: skip
    assert figures[0][KEY] < figures[1][KEY]
    assert json.dumps(figures)
