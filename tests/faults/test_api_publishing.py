"""Publishing over HTTP while Pub/Sub is away, or goes away between two of its requests."""

from __future__ import annotations

import json
import time

import psycopg
import pytest
from google.pubsub_v1 import PublisherClient
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from migrations.upgrade import upgrade
from tests.reading_stream import Systems
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("postgres", "bigquery", "gcs", "pubsub")

ROUTE = "/v1/reading/interactions"
EVENT = {"user_id": 5, "content_id": 7, "read_percent": 99.5, "updated_at": "2022-03-23"}


@pytest.fixture
def behind(env, monkeypatch):
    """The service with a proxy before its Pub/Sub, and what is behind the proxy."""
    upgrade(env["POSTGRES_URL"])
    systems = Systems.of(env)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["write"], requests_per_minute=100_000)
    host, port = env["PUBSUB_EMULATOR_HOST"].rsplit(":", 1)
    monkeypatch.setenv("QUINTET_PIPELINES", "reading")
    with TcpProxy((host, int(port))) as proxy:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", proxy.address)
        with TestClient(create_app(), headers={"Authorization": f"Bearer {key}"}) as service:
            yield service, proxy, systems


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_pubsub_that_is_away_is_named_and_found_again(behind, how):
    service, proxy, systems = behind
    assert service.post(ROUTE, json=EVENT).status_code == 202
    getattr(proxy, how)()
    for _ in range(2):
        began = time.monotonic()
        said = service.post(ROUTE, json=[EVENT, EVENT])
        # Far from what the client itself would wait, and from a question's deadline.
        assert time.monotonic() - began < 10
        problem = said.json()
        assert (said.status_code, problem["code"]) == (503, "store_unavailable"), problem
        assert problem["system"] == "pubsub"
        assert int(said.headers["retry-after"]) >= 1
    ready = service.get("/v1/health/ready").json()
    assert "pubsub" in {one["name"] for one in ready if not one["there"]}
    (proxy.restore if how == "cut" else proxy.thaw)()
    late = time.monotonic() + 60
    while service.post(ROUTE, json=EVENT).status_code != 202:
        assert time.monotonic() < late
        time.sleep(0.2)
    found = systems.pull(systems.reading.interaction_subscription, seconds=2.0)
    assert {one.data for one in found} == {json.dumps(EVENT, separators=(",", ":")).encode()}


def test_what_was_published_before_it_went_away_is_told(behind, monkeypatch):
    service, proxy, systems = behind
    genuine = PublisherClient.publish

    def once(*given, **named):
        try:
            return genuine(*given, **named)
        finally:
            proxy.cut()

    monkeypatch.setattr(PublisherClient, "publish", once)
    events = [{**EVENT, "content_id": number} for number in range(700)]
    said = service.post(ROUTE, json=events)
    problem = said.json()
    assert (said.status_code, problem["system"]) == (503, "pubsub")
    ids = problem["message_ids"]
    assert len(ids) == len(events)
    found = systems.pull(systems.reading.interaction_subscription, seconds=2.0)
    by_id = {one.message_id: json.loads(one.data) for one in found}
    told = {one: event for one, event in zip(ids, events, strict=True) if one is not None}
    # Each that is told was published as it came, and those without an id were not.
    assert told == by_id
    assert 0 < len(told) < len(events)
