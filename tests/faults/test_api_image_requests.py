"""Image requests over HTTP while MinIO is away: named, and taken once when it is back."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

import psycopg
import pytest
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from migrations.upgrade import upgrade
from tests.integration.images.task_world import Tasks
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("postgres", "s3")

TASKS = "/v1/images/tasks"
ASKED = {"task": "men", "gender": "Men"}


@pytest.fixture
def behind(env, monkeypatch):
    """The service with a proxy before its MinIO, and what is behind the proxy."""
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read", "write"], requests_per_minute=100_000)
        connection.execute(
            "INSERT INTO images.product (id, gender, repaired, row_hash, ingested_at)"
            " VALUES (7, 'Men', false, 'h', now())"
        )
    tasks, address = Tasks(env), urlsplit(env["MINIO_ENDPOINT"])
    monkeypatch.setenv("QUINTET_PIPELINES", "images")
    with TcpProxy((str(address.hostname), int(address.port or 80))) as proxy:
        monkeypatch.setenv("MINIO_ENDPOINT", f"http://{proxy.address}")
        with TestClient(create_app(), headers={"Authorization": f"Bearer {key}"}) as service:
            yield service, proxy, tasks


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_minio_that_is_away_is_named_and_the_request_taken_once_it_is_back(behind, how):
    service, proxy, tasks = behind
    getattr(proxy, how)()
    for ask in (
        lambda: service.post(TASKS, json=ASKED),
        lambda: service.get(f"{TASKS}/men"),
        lambda: service.post(TASKS, json=ASKED),
    ):
        began = time.monotonic()
        said = ask()
        # Far from what the client itself would wait, and from a question's deadline.
        assert time.monotonic() - began < 10
        assert (said.status_code, said.json()["system"]) == (503, "minio"), said.text
    # What asks Postgres alone answers.
    assert service.get(TASKS).status_code == 200
    (proxy.restore if how == "cut" else proxy.thaw)()
    late = time.monotonic() + 60
    while service.post(TASKS, json=ASKED).status_code != 202:
        assert time.monotonic() < late
        time.sleep(0.2)
    store = tasks.store("IMAGES_REQUESTS_BUCKET")
    (put,) = store.list_page("", None, 10).objects
    assert json.loads(store.get(put.key)) == ASKED
    assert service.get(f"{TASKS}/men").json()["state"] == "submitted"
