"""Files of lists that break off: whoever has one can tell, and the service goes on."""

from __future__ import annotations

import threading
import time

import httpx
import psycopg
import pytest
import uvicorn
from psycopg.types.json import Jsonb

from api import downloads, keys
from api.app import create_app
from migrations.upgrade import upgrade
from tests.rabbitmq import free_port

pytestmark = pytest.mark.servers("postgres")
ROWS = 30_000
PATH = "/v1/images/tasks/shoes/items?format="


@pytest.fixture
def served(env):
    """The service behind a socket, with a task of so many items that no buffer holds them."""
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read"])
        connection.execute(
            "INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at)"
            " VALUES ('shoes', %s, 'h', 's', now())",
            (Jsonb({}),),
        )
        connection.execute(
            "INSERT INTO images.image_task_item (task_id, number, product_id, extension, detail)"
            " SELECT 'shoes', n, n, 'png', repeat('x', 500) FROM generate_series(1, %s) n",
            (ROWS,),
        )
        port = free_port()
        server = uvicorn.Server(uvicorn.Config(create_app(), port=port, log_level="critical"))
        serving = threading.Thread(target=server.run)
        serving.start()
        try:
            while not server.started:
                assert serving.is_alive()
                time.sleep(0.01)
            headers = {"Authorization": f"Bearer {key}"}
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60
            ) as client:
                yield client, connection
        finally:
            server.should_exit = True
            serving.join()


def reading(connection):
    found = connection.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
    ).fetchall()
    return [pid for (pid,) in found]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_that_breaks_off_has_no_last_line_and_no_end(served, form):
    client, connection = served
    with client.stream("GET", PATH + form) as said:
        assert said.status_code == 200
        chunks = said.iter_raw(4_096)
        text = [next(chunks)]
        (pid,) = reading(connection)
        connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
        with pytest.raises(httpx.RemoteProtocolError):
            text.extend(chunks)
    assert 0 < b"".join(text).count(b"\n") < ROWS
    assert b"complete" not in b"".join(text)
    whole = client.get(PATH + form).text.splitlines()
    assert len(whole) == ROWS + (2 if form == "csv" else 1)
    assert "complete" in whole[-1]


def test_who_goes_away_holds_nothing_and_too_many_at_once_wait(served, monkeypatch):
    client, connection = served
    monkeypatch.setattr(downloads, "AT_ONCE", 1)
    with client.stream("GET", PATH + "csv") as said:
        chunks = said.iter_raw(1_024)
        next(chunks)
        assert len(reading(connection)) == 1
        busy = client.get(PATH + "csv")
        assert (busy.status_code, busy.json()["system"]) == (503, "the service")
        assert client.get("/v1/images/tasks").status_code == 200
    late = time.monotonic() + 60
    while reading(connection):
        assert time.monotonic() < late
        time.sleep(0.05)
    assert client.get(PATH + "csv").status_code == 200
