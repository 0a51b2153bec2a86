"""MinIO's client: addresses, bounds, and no secret in what is shown."""

from __future__ import annotations

import time

import pytest

from resources.minio import MinioResource
from resources.minio_client import CONNECT_TIMEOUT, READ_TIMEOUT, RETRIES, Access

KEYS = {"access_key": "who", "secret_key": "s3cret-of-minio"}  # pragma: allowlist secret


@pytest.mark.parametrize(
    "endpoint", ["", "minio:9000", "ftp://minio:9000", "http://", "http://h:1/b"]
)
def test_an_endpoint_that_is_none_is_named(endpoint):
    with pytest.raises(ValueError, match="not http"):
        MinioResource(endpoint=endpoint, **KEYS).client()


@pytest.mark.parametrize("endpoint", ["http://minio:9000", "https://minio.example", "http://h:1/"])
def test_scheme_and_port_are_taken_from_the_endpoint(endpoint):
    client = MinioResource(endpoint=endpoint, **KEYS).client()
    assert client._base_url.is_https == endpoint.startswith("https")
    assert endpoint.rstrip("/").endswith(client._base_url.host)


def test_all_attempts_end_before_a_tick_is_cut():
    pool = MinioResource(endpoint="http://minio:9000", **KEYS).client()._http
    assert pool.connection_pool_kw["retries"].total == RETRIES
    assert (1 + RETRIES) * (CONNECT_TIMEOUT + READ_TIMEOUT) < 60


def test_no_secret_is_shown():
    for shown in (MinioResource(endpoint="http://m:1", **KEYS), Access("http://m:1", **KEYS)):
        assert KEYS["secret_key"] not in f"{shown!r} {shown}"


def test_a_paced_client_keeps_its_distance(monkeypatch):
    import urllib3

    waits, times = [], iter([0.0, 0.0, 0.25, 0.25, 5.0, 5.0])
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(time, "monotonic", lambda: next(times))
    monkeypatch.setattr(urllib3.PoolManager, "urlopen", lambda *_, **__: None)
    pool = Access("http://m:1", **KEYS).client(pace=1.0)._http
    for _ in range(3):
        pool.urlopen("GET", "http://m:1/")
    assert waits == [0.0, 0.75, 0.0]
