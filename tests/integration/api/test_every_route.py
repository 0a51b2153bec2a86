"""Every operation of the OpenAPI document, asked by schemathesis with the real servers behind.

Whatever is asked, what comes back is declared: status, content type and body. Texts have NUL, and
half of surrogate pairs where the transport can carry them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi.checks import positive_data_acceptance

from api import keys
from api.app import create_app
from assets.pipelines import apply_defaults
from tests.integration.api.filled import variables_set

pytestmark = pytest.mark.xdist_group("filled stores")

REFUSED = ("400", "401", "403", "404", "405", "406", "409", "415", "422")
CONFIG = schemathesis.Config.from_dict(
    {
        "seed": 1,
        # Variables in os.environ are the same for every example.
        "suppress-health-check": ["all"],
        "generation": {"deterministic": True, "max-examples": 25, "codec": "utf-8"},
        # An address may be too long before it is wrong.
        "checks": {"negative_data_rejection": {"expected-statuses": [*REFUSED, "414"]}},
        "phases": {
            "coverage": {"unexpected-methods": ["delete"]},
            # What is asked must not depend on what was answered.
            "fuzzing": {
                "extra-data-sources": {"responses": False},
                "error-feedback": {"enabled": False},
            },
        },
    }
)


@pytest.fixture(scope="module")
def key(filled_variables) -> str:
    """That may do all."""
    with psycopg.connect(filled_variables["POSTGRES_URL"], autocommit=True) as connection:
        return keys.make(connection, "schemathesis", ["admin"], requests_per_minute=1_000_000)


@pytest.fixture(scope="module")
def described(filled_variables) -> Any:
    """The OpenAPI document: made, and tests of it, when it is their turn."""
    with variables_set({**filled_variables, "QUINTET_PIPELINES": ""}):
        app: Any = create_app()
    schema = schemathesis.openapi.from_dict(app.openapi(), config=CONFIG)
    schema.app = app
    return schema


schema = schemathesis.pytest.from_fixture("described")


@pytest.fixture
def session(filled, key, described) -> Iterator[asgi.ASGIClient]:
    """A client of the application in this process; schemathesis ends it with the test."""
    apply_defaults()
    with asgi.get_client(described.app) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def sensible(case) -> None:
    """Take away what is right by itself, but not with the rest; it is tried among wrong values.

    A cursor is the end of a page of the same list; words alone are searched by genre and year.
    """
    if case.meta is None or not case.meta.generation.mode.is_positive or not case.query:
        return
    case.query.pop("cursor", None)
    if case.query.get("mode", "words") != "words":
        case.query.pop("genre", None)
        case.query.pop("year", None)


@pytest.mark.timeout(900)
@schema.parametrize()
def test_what_comes_back_is_declared(case, session):
    sensible(case)
    # What a request asks for must be in the catalogue, and so on: no schema says that.
    without = [positive_data_acceptance] if case.operation.body else []
    if case.operation.path == "/v1/health/ready":
        without = [not_a_server_error]  # 503 is what it is for, and what a busy machine looks like
    case.call_and_validate(session=session, excluded_checks=without)
