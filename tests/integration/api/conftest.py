from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from starlette.testclient import TestClient

from api import keys
from api.app import create_app
from local.stack import Stack
from migrations.upgrade import upgrade
from tests.integration.api.filled import SERVERS, load, variables_set
from tests.servers import isolated_environment, start


@pytest.fixture(autouse=True)
def every_pipeline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are routes of all, whatever servers a test needs."""
    for name in {"env", "filled"} & set(request.fixturenames):
        request.getfixturevalue(name)  # which names the pipelines that have all theirs
    monkeypatch.setenv("QUINTET_PIPELINES", "")


@pytest.fixture
def service(env: dict[str, str]) -> Iterator[TestClient]:
    """The application in this process, with a key of scope ``read`` in every request."""
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["read"], requests_per_minute=100_000)
    app = create_app()
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


@pytest.fixture(scope="session")
def filled_variables(
    stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Variables of stores with a little of everything, made once: tests only ask them."""
    start(stack, list(SERVERS))
    home = tmp_path_factory.mktemp("dagster")
    with isolated_environment(stack, list(SERVERS), home) as variables:
        with variables_set(variables):
            upgrade(variables["POSTGRES_URL"])
            load(variables)
        yield variables


@pytest.fixture
def filled(filled_variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Those variables, in os.environ too."""
    for name, value in filled_variables.items():
        monkeypatch.setenv(name, value)
    return filled_variables


@pytest.fixture
def asking(filled: dict[str, str]) -> Iterator[TestClient]:
    """The application over those stores, with a key that may do all in every request."""
    with psycopg.connect(filled["POSTGRES_URL"], autocommit=True) as connection:
        key = keys.make(connection, "tests", ["admin"], requests_per_minute=1_000_000)
    headers = {"Authorization": f"Bearer {key}"}
    with TestClient(create_app(), headers=headers, raise_server_exceptions=False) as client:
        yield client
