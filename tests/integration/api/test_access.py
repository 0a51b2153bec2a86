"""Keys: made, revoked, limited; and the service without Postgres, which has them."""

from __future__ import annotations

from urllib.parse import urlsplit

import psycopg
import pytest
from starlette.testclient import TestClient

from api import access, keys
from api.app import create_app
from migrations.upgrade import upgrade
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("postgres")
ROUTE = "/v1/operations/sources"


@pytest.fixture
def postgres(env):
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def client(postgres, monkeypatch):
    monkeypatch.setattr(access, "KNOWN_SECONDS", 0.0)
    with TestClient(create_app()) as client:
        yield client


def asked(client, key, **headers):
    return client.get(ROUTE, headers={"Authorization": f"Bearer {key}", **headers})


def test_a_key_opens_until_it_is_revoked_and_its_secret_is_nowhere(client, postgres):
    key = keys.make(postgres, "ours", ["read"])
    assert asked(client, key).status_code == 200
    assert client.get(ROUTE, headers={"X-API-Key": key}).status_code == 200
    key_id, secret = key.split(".")
    for wrong in (key_id, f"{key_id}.", f"{key_id}.{secret[:-1]}", f".{secret}", key + "x"):
        refused = asked(client, wrong)
        assert (refused.status_code, refused.json()["code"]) == (401, "key_required")
        assert refused.headers["www-authenticate"].startswith("Bearer")
    stored = postgres.execute("SELECT * FROM api.key").fetchall()
    assert secret not in repr(stored)
    assert keys.revoke(postgres, key_id)
    assert not keys.revoke(postgres, key_id)
    assert asked(client, key).status_code == 401


def test_a_key_opens_as_soon_as_it_is_made(postgres):
    with TestClient(create_app()) as client:
        for number in range(5):
            key = keys.make(postgres, f"number {number}", ["read"])
            assert asked(client, key).status_code == 200
            assert asked(client, f"{key}x").status_code == 401


def test_a_key_that_asks_too_often_waits_and_others_do_not(client, postgres):
    few = keys.make(postgres, "few", ["read"], requests_per_minute=3)
    many = keys.make(postgres, "many", ["read"])
    assert [asked(client, few).status_code for _ in range(4)] == [200, 200, 200, 429]
    said = asked(client, few)
    assert said.json()["code"] == "too_many_requests"
    assert 1 <= int(said.headers["retry-after"]) <= 61
    assert asked(client, many).status_code == 200


def test_keys_that_were_read_open_while_postgres_is_away(env, postgres, monkeypatch):
    monkeypatch.setattr(access, "KNOWN_SECONDS", 0.0)
    key = keys.make(postgres, "ours", ["read"])
    address = urlsplit(env["POSTGRES_URL"])
    with TcpProxy((address.hostname, address.port)) as proxy:
        monkeypatch.setenv(
            "POSTGRES_URL",
            env["POSTGRES_URL"].replace(f"{address.hostname}:{address.port}", proxy.address),
        )
        with TestClient(create_app()) as client:
            assert asked(client, key).status_code == 200
            proxy.cut()
            away = asked(client, key)
            assert (away.status_code, away.json()["system"]) == (503, "postgres")
            assert asked(client, "qk_other.secret").status_code == 401
    with TestClient(create_app()) as never:
        unknown = asked(never, key)
        assert (unknown.status_code, unknown.json()["code"]) == (503, "store_unavailable")
