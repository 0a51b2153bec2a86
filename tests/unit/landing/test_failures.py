from __future__ import annotations

import socket
from typing import Any

import pytest

from landing.batch.failures import PermanentError, TransientError, classify


def named(name: str, module: str = "some.client", **attributes: object) -> Exception:
    kind = type(name, (Exception,), {"__module__": module})
    error = kind("x")
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


class Response:
    def __init__(self, status: int) -> None:
        self.status_code = status


class GrpcCode:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_statuses_worth_another_attempt(status):
    for error in (
        named("APIStatusError", status_code=status),
        named("HTTPStatusError", response=Response(status)),
        named("ClientError", response={"ResponseMetadata": {"HTTPStatusCode": status}}),
        named("GoogleAPICallError", "google.api_core.exceptions", code=status),
    ):
        assert classify(error) == "transient"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_statuses_that_wait_for_an_operator(status):
    assert classify(named("APIStatusError", status_code=status)) == "permanent"
    error = named("ClientError", response={"ResponseMetadata": {"HTTPStatusCode": status}})
    assert classify(error) == "permanent"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAVAILABLE", "transient"),
        ("DEADLINE_EXCEEDED", "transient"),
        ("RESOURCE_EXHAUSTED", "transient"),
        ("UNAUTHENTICATED", "permanent"),
        ("PERMISSION_DENIED", "permanent"),
        ("INVALID_ARGUMENT", "permanent"),
    ],
)
def test_grpc_codes(code, expected):
    assert classify(named("RpcError", "grpc", code=lambda: GrpcCode(code))) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectionRefusedError(), "transient"),
        (TimeoutError(), "transient"),
        (socket.gaierror(), "transient"),
        (named("ServerSelectionTimeoutError", "pymongo.errors"), "transient"),
        (named("AutoReconnect", "pymongo.errors"), "transient"),
        (named("OperationFailure", "pymongo.errors", code=18), "permanent"),
        (named("ServiceUnavailable", "neo4j.exceptions"), "transient"),
        (named("AuthError", "neo4j.exceptions", code="Neo.ClientError.Security.X"), "permanent"),
        (named("ClientError", "neo4j", code="Neo.ClientError.Transaction.Gone"), "transient"),
        (named("TransientError", "neo4j", code="Neo.TransientError.X"), "transient"),
        (named("OperationalError", "psycopg", sqlstate="57P01"), "transient"),
        (named("OperationalError", "psycopg", sqlstate=None), "transient"),
        (named("InvalidPassword", "psycopg.errors", sqlstate="28P01"), "permanent"),
        (named("UndefinedTable", "psycopg.errors", sqlstate="42P01"), "permanent"),
        (PermissionError(), "permanent"),
        (KeyError("VARIABLE"), "permanent"),
        (PermanentError(), "permanent"),
        (TransientError(), "transient"),
        (Exception("never seen"), "unknown"),
        (KeyboardInterrupt(), "transient"),
    ],
)
def test_errors_of_the_clients(error, expected):
    assert classify(error) == expected


def test_the_nearest_error_that_says_anything_decides():
    def chained(outer: Exception, cause: Exception) -> Exception:
        outer.__cause__ = cause
        return outer

    assert classify(chained(RuntimeError("step"), named("E", status_code=401))) == "permanent"
    assert classify(chained(TransientError(), named("E", status_code=401))) == "transient"
    loop = RuntimeError("a")
    loop.__context__ = loop
    assert classify(loop) == "unknown"


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "quotaExceeded", "backendError"])
def test_what_bigquery_refuses_for_a_moment_only(reason):
    refused: Any = named(
        "Forbidden", "google.api_core.exceptions", code=403, errors=[{"reason": reason}]
    )
    assert classify(refused) == "transient"
    refused.errors = [{"reason": "accessDenied"}]
    assert classify(refused) == "permanent"
    refused.errors = None
    assert classify(refused) == "permanent"


def test_bigquery_s_own_errors_are_told_by_their_reason():
    from google.api_core.exceptions import BadRequest, Forbidden

    for kind in (Forbidden, BadRequest):
        for reason, expected in {
            "rateLimitExceeded": "transient",
            "jobRateLimitExceeded": "transient",
            "accessDenied": "permanent",
            "invalidQuery": "permanent",
        }.items():
            error = kind("no", errors=[{"reason": reason, "domain": "global"}])
            assert classify(error) == expected, (kind, reason)
            wrapped = RuntimeError("the MERGE failed")
            wrapped.__cause__ = error
            assert classify(wrapped) == expected
    words = "Exceeded rate limits: too many table update operations for this table"
    assert classify(Forbidden(words)) == "transient"


def test_what_openai_s_client_repeats_stops_no_batch():
    assert classify(named("ConflictError", "openai", status_code=409)) == "transient"
    assert classify(named("ConflictError", "openai._exceptions", status_code=409)) == "transient"
    assert classify(named("BadRequestError", "openai", status_code=400)) == "permanent"
    assert classify(named("Conflict", "google.api_core.exceptions", code=409)) == "permanent"


@pytest.mark.parametrize(
    ("status", "worth_another"),
    [(408, True), (425, True), (429, True), (500, True), (503, True), (599, True),
     (400, False), (404, False), (501, False), (505, False)],
)  # fmt: skip
def test_every_client_asks_the_same_set_of_statuses(status, worth_another):
    import httpx
    import openai

    from assets.sinks.typesense import refusal
    from resources.dataflow import DataflowRequestError
    from resources.minio_client import Access
    from resources.openai import retry_after
    from resources.polite_http import RefusedError

    answer = httpx.Response(status, request=httpx.Request("GET", "http://host"))
    typed: Any = answer  # the client's own copy of the class is another type
    retries = Access("http://host:1", "a", "b").client()._http.connection_pool_kw["retries"]
    assert {
        classify(named("E", status_code=status)) == "transient",
        isinstance(refusal(status, "no"), TransientError),
        DataflowRequestError(status, "no").transient,
        RefusedError(status, 0.0).transient,
        bool(retry_after(openai.APIStatusError("no", response=typed, body=None))),
        status in retries.status_forcelist,
    } == {worth_another}
