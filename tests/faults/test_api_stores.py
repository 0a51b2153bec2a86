"""The query service while systems go and come back: the right status, no restart."""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import psycopg
import pytest
from starlette.testclient import TestClient

from api import keys, stores
from api.app import create_app
from migrations.upgrade import upgrade
from tests.integration.api.filled import SERVERS, load
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers(*SERVERS)

USER = "/v1/campaigns/users/user_1"
#: Which systems each route asks, besides Postgres for what it rests on, which it can do without.
ROUTES = {
    f"{USER}/similar": {"milvus"},
    f"{USER}/campaigns": {"neo4j"},
    f"{USER}/engagement": {"bigquery"},
    f"{USER}/recommendations": {"milvus", "neo4j", "bigquery"},
    "/v1/operations/batches": {"postgres"},
    "/v1/music/songs?q=love": {"typesense"},
    "/v1/music/lyrics?q=a+river+runs+to+the+sea": {"milvus", "openai"},
    "/v1/music/songs/SOTHEME0/plays": {"postgres"},
    "/v1/reading/users/5/categories?query_date=2022-03-23": {"bigquery"},
    "/v1/domains/a.de/description": {"postgres"},
    "/v1/images/tasks/shoes": {"postgres"},
    "/v1/images/tasks/boots/manifest": {"postgres", "minio"},
}
VARIABLES = {
    "postgres": "POSTGRES_URL",
    "bigquery": "BIGQUERY_API_ENDPOINT",
    "neo4j": "NEO4J_URI",
    "milvus": "MILVUS_URI",
    "typesense": "TYPESENSE_URL",
    "openai": "OPENAI_BASE_URL",
    "minio": "MINIO_ENDPOINT",
}


@pytest.fixture
def behind(env, monkeypatch):
    """The service, and a proxy before each of its systems."""
    upgrade(env["POSTGRES_URL"])
    load(env)
    monkeypatch.setenv("QUINTET_PIPELINES", "")  # routes of all, whatever servers there are
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read"], requests_per_minute=100_000)
    with ExitStack() as stack:
        proxies = {}
        for name, variable in VARIABLES.items():
            address = urlsplit(env[variable])
            proxy = stack.enter_context(TcpProxy((address.hostname, address.port)))
            monkeypatch.setenv(
                variable, env[variable].replace(f"{address.hostname}:{address.port}", proxy.address)
            )
            proxies[name] = proxy
        headers = {"Authorization": f"Bearer {key}"}
        yield stack.enter_context(TestClient(create_app(), headers=headers)), proxies


def assert_statuses(service, away: str | None) -> None:
    for route, needed in ROUTES.items():
        began = time.monotonic()
        said = service.get(route)
        # Far from the deadline of a question, and from what the clients themselves would wait.
        assert time.monotonic() - began < stores.DEADLINE / 3, (route, away)
        if away in needed:
            assert said.status_code == 503, (route, away, said.text)
            problem = said.json()
            assert (problem["code"], problem["system"]) == ("store_unavailable", away)
            assert int(said.headers["retry-after"]) == problem["retry_after_seconds"] >= 1
        else:
            assert said.status_code == 200, (route, away, said.text)


def eventually(service, away: str) -> None:
    """The systems are looked after: nobody has to restart anything."""
    late = time.monotonic() + 60
    while any(service.get(route).status_code != 200 for route in ROUTES):
        assert time.monotonic() < late, away
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_routes_that_do_not_need_it_answer_and_all_do_once_it_is_back(behind):
    service, proxies = behind
    assert_statuses(service, None)
    for name, how in itertools.product(proxies, ("cut", "freeze")):
        proxy = proxies[name]
        getattr(proxy, how)()
        assert_statuses(service, name)
        # The second time nobody waits: it is known to be away.
        assert_statuses(service, name)
        ready = service.get("/v1/health/ready")
        assert ready.status_code == 503
        assert name in {one["name"] for one in ready.json() if not one["there"]}
        (proxy.restore if how == "cut" else proxy.thaw)()
        eventually(service, name)
