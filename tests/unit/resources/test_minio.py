"""MinIO's client: addresses, bounds, and no secret in what is shown."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from urllib3.exceptions import MaxRetryError

from landing.batch.failures import classify
from resources.minio import MinioResource
from resources.minio_client import (
    CONNECT_TIMEOUT,
    LONGEST_RETRY_AFTER,
    READ_TIMEOUT,
    RETRIES,
    Access,
)

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
    waits = RETRIES * pool.connection_pool_kw["retries"].retry_after_max
    assert (1 + RETRIES) * (CONNECT_TIMEOUT + READ_TIMEOUT) + waits < 60


@pytest.fixture
def server():
    """Answers what `answers` says, one status per request, and 200 from then on."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers = answers.pop(0) if answers else (200, {})
            asked.append(status)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            """Nothing."""

    answers, asked = [], []
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    url = f"http://127.0.0.1:{http.server_port}"
    pool = Access(url, **KEYS).client()._http
    yield SimpleNamespace(get=lambda: pool.request("GET", url).status, answers=answers, asked=asked)
    http.shutdown()
    http.server_close()


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
def test_a_server_in_trouble_is_asked_again(server, status):
    server.answers[:] = [(status, {})]
    assert server.get() == 200
    assert server.asked == [status, 200]


@pytest.mark.parametrize("status", [400, 403, 404, 501, 505])
def test_what_no_attempt_changes_is_asked_once(server, status):
    server.answers[:] = [(status, {})] * 5
    assert server.get() == status
    assert server.asked == [status]


def test_trouble_that_stays_is_transient_and_a_long_wait_is_not_followed(server, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.answers[:] = [(429, {"Retry-After": "3600"})] * 9
    with pytest.raises(MaxRetryError) as caught:
        server.get()
    assert server.asked == [429] * (1 + RETRIES)
    assert waits == [LONGEST_RETRY_AFTER] * RETRIES
    assert classify(caught.value) == "transient"


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
