from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from migrations.upgrade import upgrade


@pytest.fixture(autouse=True)
def every_pipeline(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """There are routes of all, whatever servers a test needs."""
    monkeypatch.setenv("QUINTET_PIPELINES", "")
    assert env["POSTGRES_URL"]


@pytest.fixture
def service(env: dict[str, str]) -> Iterator[TestClient]:
    """The application in this process, with a key of scope ``read`` in every request."""
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read"], requests_per_minute=100_000)
    app = create_app()
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client
