"""Busy, unreachable or wrong credentials: told by errors of the real clients."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import openai
import psycopg
import pytest
from google.api_core import exceptions as google
from neo4j.exceptions import AuthError
from pymongo.errors import ServerSelectionTimeoutError

from ops.trouble import trouble
from resources.minio import MinioResource
from resources.mongo import MongoResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource


@pytest.fixture
def closed_port() -> int:
    """A port that refuses: it was bound a moment ago and is not listened on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def answering() -> Iterator[tuple[str, list[int]]]:
    """A server that answers every request with the last status of the list, and its address."""
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(statuses[-1])
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815  the base class looks for these names

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", statuses
    server.shutdown()
    thread.join()
    server.server_close()


def raised(ask) -> BaseException:
    with pytest.raises(Exception) as error:  # noqa: PT011  whatever the client raises
        ask()
    return error.value


def test_a_closed_port_is_unreachable_for_every_client(closed_port):
    address = f"127.0.0.1:{closed_port}"
    asked = {
        "postgres": PostgresResource(url=f"postgresql://u:p@{address}/x").check,
        "mongodb": MongoResource(uri=f"mongodb://{address}/?serverSelectionTimeoutMS=500").check,
        "minio": MinioResource(
            endpoint=f"http://{address}", access_key="a", secret_key="b" * 8
        ).check,
        "typesense": TypesenseResource(url=f"http://{address}", api_key="k").check,
        "openai": OpenAIResource(
            base_url=f"http://{address}/v1", api_key="k", embedding_model="m"
        ).check,
    }
    found = {name: trouble(raised(ask)) for name, ask in asked.items()}
    assert found == dict.fromkeys(asked, "unreachable")


def test_a_name_that_nobody_knows_is_unreachable():
    error = raised(lambda: psycopg.connect("postgresql://u@nowhere.invalid/x", connect_timeout=5))
    assert trouble(error) == "unreachable"
    assert trouble(raised(lambda: httpx.get("http://nowhere.invalid/"))) == "unreachable"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "wrong credentials"), (403, "wrong credentials"), (429, "busy"), (503, "busy")],
)
def test_an_http_status_tells_busy_from_wrong_credentials(answering, status, kind):
    url, statuses = answering
    statuses.append(status)
    client = openai.OpenAI(base_url=url, api_key="k", max_retries=0)
    assert trouble(raised(lambda: client.embeddings.create(model="m", input="x"))) == kind
    assert trouble(raised(lambda: httpx.get(url).raise_for_status())) == kind


def test_a_server_that_does_not_answer_in_time_is_busy():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = raised(lambda: httpx.get(f"http://127.0.0.1:{port}", timeout=0.2))
    assert trouble(error) == "busy"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (google.ServiceUnavailable("try again"), "busy"),
        (google.DeadlineExceeded("504"), "busy"),
        (google.RetryError("Timeout", google.ServiceUnavailable("Connection refused")),
         "unreachable"),
        (google.Unauthenticated("who?"), "wrong credentials"),
        (google.Forbidden("no"), "wrong credentials"),
        (google.NotFound("no such bucket"), None),
        (AuthError("wrong"), "wrong credentials"),
        (ServerSelectionTimeoutError("db:1: [Errno 111] Connection refused (timeout 2s)"),
         "unreachable"),
        (psycopg.OperationalError("FATAL: sorry, too many clients already"), "busy"),
        (psycopg.OperationalError('password authentication failed for user "a"'),
         "wrong credentials"),
        (ValueError("odd"), None),
    ],
)  # fmt: skip
def test_what_clients_say(error, kind):
    assert trouble(error) == kind
