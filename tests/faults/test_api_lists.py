"""Lists while the store that holds their rows goes and comes back."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from psycopg.types.json import Jsonb
from starlette.testclient import TestClient

from api import keys, stores
from api.app import create_app
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import REJECT_SCHEMA
from landing.batch.quarantine import QuarantineWriter
from landing.stores.minio import MinioStore
from migrations.upgrade import upgrade
from resources.minio import MinioResource
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("postgres", "s3")
AT = datetime(2026, 11, 28, tzinfo=UTC)
ROWS = "/v1/operations/quarantine/rows?source=music_minio"
#: What each list reads.
LISTS = {
    ROWS: {"postgres", "minio"},
    f"{ROWS}&format=csv": {"postgres", "minio"},
    "/v1/operations/quarantine/counts": {"postgres"},
    "/v1/music/files?format=ndjson": {"postgres"},
}


def rejected(env) -> None:
    """One row of music, in quarantine as validation leaves it."""
    client = MinioResource(
        endpoint=env["MINIO_ENDPOINT"],
        access_key=env["MINIO_ACCESS_KEY"],
        secret_key=env["MINIO_SECRET_KEY"],
    ).client()
    store = MinioStore(client, env["MUSIC_QUARANTINE_BUCKET"])
    version = ObjectVersion("minio", env["MUSIC_RAW_BUCKET"], "a.json", "1", 1, AT)
    row = (4, "bad_number", "tempo", "text", False)
    with QuarantineWriter(("bad_number",)) as writer:
        writer.add(version, pl.DataFrame([row], schema=REJECT_SCHEMA, orient="row"))
        key = writer.put(store, "music", "b1")
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(
            "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes,"
            " created_at) VALUES ('b1', 'music_minio', 'music', 'loaded', 1, 1, now())"
        )
        connection.execute(
            "INSERT INTO landing.quarantine (batch_id, bucket, key, rows, reasons, written_at)"
            " VALUES ('b1', %s, %s, 1, %s, now())",
            (store.bucket, key, Jsonb({"bad_number": 1})),
        )


@pytest.fixture
def behind(env, monkeypatch):
    """The service, and a proxy before each of the two systems."""
    monkeypatch.setenv("QUINTET_PIPELINES", "")  # routes of all, whatever servers there are
    upgrade(env["POSTGRES_URL"])
    rejected(env)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read"], requests_per_minute=100_000)
    with ExitStack() as stack:
        proxies = {}
        for name, variable in (("postgres", "POSTGRES_URL"), ("minio", "MINIO_ENDPOINT")):
            address = urlsplit(env[variable])
            proxy = stack.enter_context(TcpProxy((address.hostname, address.port)))
            there = f"{address.hostname}:{address.port}"
            monkeypatch.setenv(variable, env[variable].replace(there, proxy.address))
            proxies[name] = proxy
        headers = {"Authorization": f"Bearer {key}"}
        yield stack.enter_context(TestClient(create_app(), headers=headers)), proxies


def assert_statuses(service, away: str | None) -> None:
    for path, needed in LISTS.items():
        began = time.monotonic()
        said = service.get(path)
        assert time.monotonic() - began < stores.DEADLINE / 3, (path, away)
        if away in needed:
            assert said.status_code == 503, (path, away, said.text)
            assert said.json()["system"] == away
        else:
            assert said.status_code == 200, (path, away, said.text)


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_who_is_away_is_named_and_other_lists_are_whole(behind, how):
    service, proxies = behind
    assert_statuses(service, None)
    for name, proxy in proxies.items():
        getattr(proxy, how)()
        assert_statuses(service, name)
        assert_statuses(service, name)
        (proxy.restore if how == "cut" else proxy.thaw)()
        late = time.monotonic() + 60
        while any(service.get(path).status_code != 200 for path in LISTS):
            assert time.monotonic() < late, name
            time.sleep(0.2)
    assert service.get(f"{ROWS}&format=csv").text.splitlines()[-1].startswith("#complete,1,")
