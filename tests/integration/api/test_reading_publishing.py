"""Messages that come in over HTTP, against what a subscriber receives."""

from __future__ import annotations

import json
from collections import Counter

import psycopg
import pytest

from api import keys
from tests.reading_stream import Systems

pytestmark = pytest.mark.servers("postgres", "bigquery", "gcs", "pubsub")

INTERACTIONS, CONTENTS = "/v1/reading/interactions", "/v1/reading/contents"
EVENT = {"user_id": 5, "content_id": 7, "read_percent": 99.5, "updated_at": "2022-03-23"}
#: Texts that would do something to a store that took them for more than text.
HOSTILE = (
    "'; DROP TABLE x; --",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "$where: 1",
    "\r\nX-A: 1",
    "ü\u2028",
)


@pytest.fixture
def writer(service, env):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "w", ["write"], requests_per_minute=100_000)
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def systems(service, env):
    return Systems.of(env)


def received(systems, subscription: str) -> Counter[bytes]:
    found = systems.pull(subscription, seconds=2.0)
    assert not any(one.attributes or one.ordering_key for one in found)
    return Counter(one.data for one in found)


def test_a_subscriber_receives_what_was_posted_byte_for_byte(service, writer, systems):
    # As JSON is written by whom ever: spaces, powers, other members, the old name.
    exact = (
        b'{"user_id":9223372036854775807,"content_id":-1,"read_percent":1e2,'
        b'"updated_at":"2022-03-23 10:11:12.5+05:30"}'
    )
    older = (
        b'{ "pratilipi_id": 8, "user_id": 5, "read_percent": 0, "updated_at": "2022-03-23",\n'
        b'  "note": [1, {"a": "\\u0000"}] }'
    )
    sent = [
        exact,
        older,
        *(json.dumps({**EVENT, "note": text}).encode() for text in HOSTILE),
    ]
    said = service.post(INTERACTIONS, content=b"[" + b" , ".join(sent) + b"]", headers=writer)
    assert said.status_code == 202, said.text
    ids = said.json()["message_ids"]
    assert len(set(ids)) == len(sent)
    alone = service.post(INTERACTIONS, content=exact, headers=writer)
    assert len(alone.json()["message_ids"]) == 1
    subscription = systems.reading.interaction_subscription
    assert received(systems, subscription) == Counter([*sent, exact])

    named = [json.dumps({"content_id": 7, "category_name": text}) for text in HOSTILE]
    said = service.post(CONTENTS, content=f"[{','.join(named)}]", headers=writer)
    assert said.status_code == 202, said.text
    found = received(systems, systems.reading.meta_subscription)
    assert Counter(json.loads(one)["category_name"] for one in found) == Counter(HOSTILE)


def test_a_thousand_messages_are_published_in_order(service, writer, systems):
    events = [{**EVENT, "content_id": number} for number in range(1_000)]
    said = service.post(INTERACTIONS, json=events, headers=writer)
    ids = said.json()["message_ids"]
    found = systems.pull(systems.reading.interaction_subscription, seconds=2.0)
    by_id = {one.message_id: json.loads(one.data) for one in found}
    assert [by_id[one] for one in ids] == events


@pytest.mark.parametrize("path", [INTERACTIONS, CONTENTS])
def test_nothing_is_published_where_one_message_is_wrong(service, writer, systems, path):
    event = EVENT if path == INTERACTIONS else {"content_id": 7, "category_name": "Poetry"}
    field = "user_id" if path == INTERACTIONS else "category_name"
    wrong = [event, {**event, field: None}, {"note": 1}, [], {**event, "content_id": "7"}]
    said = service.post(path, json=wrong, headers=writer)
    problem = said.json()
    assert (said.status_code, problem["code"]) == (422, "invalid_request")
    first = "user_id" if path == INTERACTIONS else "content_id"
    told = [(one["index"], one["field"], one["reason"]) for one in problem["errors"]]
    assert told == [
        (1, field, "wrong_type"), (2, first, "missing_field"), (3, None, "not_an_object"),
        (4, "content_id", "wrong_type"),
    ]  # fmt: skip
    assert [one["name"] for one in problem["errors"]] == [
        f"1.{field}", f"2.{first}", "3", "4.content_id",
    ]  # fmt: skip
    for body in (b"", b"[", b"[]", b"null", b"\xff", b'{"user_id": NaN}', b"[" * 100_000):
        bad = service.post(path, content=body, headers=writer)
        assert (bad.status_code, bad.json()["code"]) == (422, "invalid_request"), body[:20]
    assert service.post(path, json=[event] * 1_001, headers=writer).status_code == 422
    large = service.post(path, content=b" " * (1024 * 1024 + 1), headers=writer)
    assert large.status_code == 413
    for subscription in ("interaction_subscription", "meta_subscription"):
        assert not received(systems, getattr(systems.reading, subscription))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("updated_at", "1999-12-31", "before_2000"),
        ("updated_at", "user_id", "bad_date"),
        ("updated_at", "9999-01-01", "future_date"),
        ("read_percent", -1, "out_of_range"),
        ("content_id", 2**63, "out_of_range"),
    ],
)
def test_a_field_is_named_whatever_it_holds(service, writer, field, value, reason):
    said = service.post(INTERACTIONS, json={**EVENT, field: value}, headers=writer)
    (error,) = said.json()["errors"]
    assert (error["index"], error["field"], error["reason"]) == (0, field, reason)


def test_publishing_needs_a_key_and_the_scope(service):
    for path in (INTERACTIONS, CONTENTS):
        assert service.post(path, json=EVENT, headers={"Authorization": ""}).status_code == 401
        said = service.post(path, json=EVENT)
        assert (said.status_code, said.json()["code"]) == (403, "scope_missing")


def test_a_topic_that_is_missing_is_named(service, writer, monkeypatch):
    monkeypatch.setenv("READING_INTERACTION_TOPIC", "no-such-topic")
    said = service.post(INTERACTIONS, json=[EVENT, EVENT], headers=writer)
    problem = said.json()
    assert (said.status_code, problem["code"]) == (503, "not_configured")
    assert "no-such-topic" in problem["detail"]
    assert problem["message_ids"] == [None, None]
