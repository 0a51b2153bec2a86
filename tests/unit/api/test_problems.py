"""What leaves the service where there is no answer, without any server behind it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.limits import BODY_BYTES, TARGET_CHARACTERS

OPEN = {"/v1/health/live", "/v1/health/ready"}


@pytest.fixture(scope="module")
def service():
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


def assert_problem(said, status, code):
    assert (said.status_code, said.json()["code"]) == (status, code), said.text
    assert said.headers["content-type"] == "application/problem+json"
    body = said.json()
    assert body["status"] == status
    assert body["type"] == f"urn:quintet:problem:{code}"
    assert all(body[name] for name in ("title", "detail", "next"))


def operations():
    app = create_app()
    return [
        (method, path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path not in OPEN
    ]


@pytest.mark.parametrize(("method", "path"), operations(), ids="{0[0]} {0[1]}".format)
def test_no_route_answers_without_a_key(service, method, path):
    said = service.request(method, path.replace("{", "").replace("}", ""))
    assert_problem(said, 401, "key_required")


def test_the_protocol_s_errors_are_problems_too(service):
    assert_problem(service.get("/nowhere"), 404, "not_found")
    wrong = service.delete("/v1/health/live")
    assert_problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    assert_problem(service.get("/" + "a" * TARGET_CHARACTERS), 414, "target_too_long")


def test_a_body_that_is_too_large_is_not_read(service):
    large = service.post("/v1/images/tasks/one/cancel", content=b"x" * (BODY_BYTES + 1))
    assert large.status_code in {401, 413}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=40), st.binary(max_size=40))
def test_whatever_is_asked_nothing_but_json_leaves(service, path, raw):
    for said in (
        service.get("/v1/" + quote(path)),
        service.get("/user_content/?user_id=" + quote(raw)),
    ):
        assert said.status_code < 500, said.text
        assert isinstance(json.loads(said.content), dict)


def test_the_description_names_a_problem_for_every_status(service):
    schema = service.get("/openapi.json").json()
    assert set(schema["components"]["schemas"]["Problem"]["required"]) == {
        "type", "title", "status", "detail", "code", "next",
    }  # fmt: skip
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert (operation.get("summary") and operation.get("description")) or path in OPEN
            if path not in OPEN:
                assert {"401", "403", "422", "429", "503"} <= set(operation["responses"]), (
                    method,
                    path,
                )


@pytest.mark.parametrize("path", ["/v1/health/live", "/v1/images/tasks", "/openapi.json", "/no"])
def test_browsers_are_told_to_draw_nothing_of_it(service, path):
    headers = service.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
