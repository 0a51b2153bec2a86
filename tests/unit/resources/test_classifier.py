"""A model's file over HTTP: limits of size and time, and what is no address."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from resources.classifier import ClassifierResource, RefusedModelError
from resources.minio import MinioResource

MINIO = MinioResource(endpoint="http://127.0.0.1:1", access_key="a", secret_key="b")
DATA = bytes(range(256)) * 400


class _Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/model.onnx")
            self.end_headers()
        elif self.path == "/model.onnx":
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)
        elif self.path == "/drops":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(100):
                    self.wfile.write(b"x" * 70_000)
                    time.sleep(0.1)
            except OSError:
                return
        else:
            self.send_error(404)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_none_is_configured() -> None:
    assert ClassifierResource().fetch(MINIO) is None
    assert "trained in the graph" in ClassifierResource().check(MINIO)


def test_it_is_fetched(server: str) -> None:
    for name in ("model.onnx", "moved"):
        assert ClassifierResource(url=f"{server}/{name}").fetch(MINIO) == DATA


def test_it_may_have_only_so_many_bytes(server: str) -> None:
    exact = ClassifierResource(url=f"{server}/model.onnx", most_bytes=len(DATA))
    assert exact.fetch(MINIO) == DATA
    less = ClassifierResource(url=f"{server}/model.onnx", most_bytes=len(DATA) - 1)
    with pytest.raises(RefusedModelError, match="more than 102399 bytes"):
        less.fetch(MINIO)


def test_it_may_take_only_so_long(server: str) -> None:
    started = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        ClassifierResource(url=f"{server}/drops", timeout=0.5).fetch(MINIO)
    assert time.monotonic() - started < 5


def test_a_404_is_told(server: str) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        ClassifierResource(url=f"{server}/none").fetch(MINIO)


@pytest.mark.parametrize("url", ["model.onnx", "ftp://a/b", "s3://bucket", "s3:///key", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RefusedModelError, match="not http"):
        ClassifierResource(url=url).fetch(MINIO)
