"""Failures as the systems' own clients raise them: their classes, with what real servers answer."""

import errno
import os
from typing import Any

import pytest

from landing.batch.failures import classify
from resources.milvus import sdk

TRANSIENT, PERMANENT, UNKNOWN = "transient", "permanent", "unknown"


def google_http(status: int, reason: str, message: str) -> Exception:
    """As google.api_core makes it of a JSON answer: .../bigquery/docs/error-messages."""
    import requests
    from google.api_core import exceptions

    answer = requests.Response()
    answer.status_code = status
    answer._content = (
        f'{{"error": {{"code": {status}, "message": "{message}", "errors": [{{"message":'
        f' "{message}", "domain": "global", "reason": "{reason}"}}]}}}}'
    ).encode()
    answer.request = requests.Request("POST", "https://bigquery.googleapis.com/x").prepare()
    return exceptions.from_http_response(answer)


def job_error(reason: str, message: str) -> Exception:
    """As a BigQuery job that failed raises it from ``result()``."""
    from google.cloud.bigquery.job.base import _error_result_to_exception

    error: Exception = _error_result_to_exception({"reason": reason, "message": message})
    return error


@pytest.mark.parametrize(
    ("status", "reason", "message", "expected"),
    [
        (403, "quotaExceeded", "Quota exceeded: Your table exceeded quota for imports", TRANSIENT),
        (403, "rateLimitExceeded", "Exceeded rate limits: too many concurrent queries", TRANSIENT),
        (400, "jobRateLimitExceeded", "Job exceeded rate limits", TRANSIENT),
        (400, "invalidQuery", "Could not serialize access to table p:d.t due to concurrent update",
         TRANSIENT),
        (400, "resourcesExceeded", "Resources exceeded during query execution", TRANSIENT),
        (400, "backendError", "Retrying may solve the problem", TRANSIENT),
        (503, "backendError", "Error encountered during execution", TRANSIENT),
        (403, "accessDenied", "Access Denied: Table p:d.t: User does not have permission",
         PERMANENT),
        (401, "authError", "Invalid Credentials", PERMANENT),
        (400, "invalidQuery", "Syntax error: Unexpected identifier", PERMANENT),
        (404, "notFound", "Not found: Dataset p:d", PERMANENT),
    ],
)  # fmt: skip
def test_bigquery_by_its_reasons(status, reason, message, expected):
    assert classify(google_http(status, reason, message)) == expected
    if reason not in {"authError", "jobRateLimitExceeded"}:
        assert classify(job_error(reason, message)) == expected


def test_a_job_that_was_stopped_or_took_too_long_may_run_again():
    assert classify(job_error("stopped", "Job execution was cancelled: User requested")) == (
        TRANSIENT
    )
    assert classify(job_error("timeout", "Operation timed out after 6.0 hours")) == TRANSIENT


def test_a_code_of_grpc_comes_before_the_status_that_it_is_mapped_to():
    from google.api_core import exceptions

    # Each of these carries both, and the HTTP status of most is one of a wrong request.
    expected = {
        exceptions.Aborted: TRANSIENT,  # 409
        exceptions.Cancelled: TRANSIENT,  # 499
        exceptions.DeadlineExceeded: TRANSIENT,  # 504
        exceptions.ServiceUnavailable: TRANSIENT,
        exceptions.ResourceExhausted: TRANSIENT,  # 429
        exceptions.Unknown: TRANSIENT,
        exceptions.AlreadyExists: PERMANENT,
        exceptions.InvalidArgument: PERMANENT,
        exceptions.FailedPrecondition: PERMANENT,
        exceptions.MethodNotImplemented: PERMANENT,
        exceptions.Unauthenticated: PERMANENT,
        exceptions.PermissionDenied: PERMANENT,
    }
    assert {kind: classify(kind("x")) for kind in expected} == expected


def test_a_call_s_own_deadline_and_the_end_of_its_attempts_pass():
    import concurrent.futures

    import stamina
    import tenacity
    from google.api_core import exceptions, retry

    assert classify(concurrent.futures.TimeoutError()) == TRANSIENT
    with pytest.raises(exceptions.RetryError) as ended:
        retry.Retry(initial=0.001, timeout=0.002)(_raising(exceptions.ServiceUnavailable("no")))()
    assert classify(ended.value) == TRANSIENT
    assert classify(exceptions.RetryError("Timeout of 600.0s exceeded", None)) == TRANSIENT

    def given_up(error: Exception) -> Exception:
        attempts = tenacity.Retrying(stop=tenacity.stop_after_attempt(1))
        with pytest.raises(tenacity.RetryError) as raised:
            attempts(_raising(error))
        return raised.value

    assert classify(given_up(ConnectionResetError())) == TRANSIENT
    assert classify(given_up(ValueError("odd"))) == TRANSIENT
    assert classify(given_up(google_http(401, "authError", "Invalid Credentials"))) == PERMANENT
    assert stamina  # what we repeat calls with raises the last error itself


def _raising(error: Exception) -> Any:
    def call() -> None:
        raise error

    return call


def test_who_google_does_not_know():
    from google.auth import exceptions

    def caused(outer: Exception, inner: Exception) -> Exception:
        outer.__cause__ = inner
        return outer

    refused = exceptions.RefreshError(
        "invalid_grant: Invalid JWT Signature.", {"error": "invalid_grant"}
    )
    assert classify(refused) == PERMANENT
    assert classify(exceptions.DefaultCredentialsError("File key.json was not found.")) == PERMANENT
    assert classify(exceptions.RefreshError("503", retryable=True)) == TRANSIENT
    away = exceptions.TransportError("HTTPSConnectionPool(host='oauth2.googleapis.com')")
    assert classify(away) == TRANSIENT
    # A metadata server out of reach: google.auth.compute_engine raises it so.
    assert classify(caused(exceptions.RefreshError(away), away)) == TRANSIENT


def s3_error(code: str, status: int, message: str) -> list[Exception]:
    """As both clients raise it: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html."""
    import urllib3
    from botocore.exceptions import ClientError
    from minio.error import S3Error

    told: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    answer: Any = urllib3.HTTPResponse(status=status)
    return [
        ClientError(told, "GetObject"),
        S3Error(answer, code, message, "/b/k", "id", "host", "b", "k"),
    ]


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("SlowDown", 503, TRANSIENT),
        ("SlowDownRead", 503, TRANSIENT),
        ("RequestTimeout", 400, TRANSIENT),
        ("OperationAborted", 409, TRANSIENT),
        ("XMinioServerNotInitialized", 503, TRANSIENT),
        ("InternalError", 500, TRANSIENT),
        ("InvalidAccessKeyId", 403, PERMANENT),
        ("SignatureDoesNotMatch", 403, PERMANENT),
        ("AccessDenied", 403, PERMANENT),
        ("ExpiredToken", 400, PERMANENT),
        ("NoSuchBucket", 404, PERMANENT),
    ],
)
def test_s3_and_minio(code, status, expected):
    assert {classify(error) for error in s3_error(code, status, "said so")} == {expected}


def test_minio_s_slow_down_without_its_answer():
    from minio.error import S3Error, ServerError

    answer: Any = None
    assert classify(S3Error(answer, "SlowDown", "Please reduce", "/b", "i", "h")) == TRANSIENT
    assert classify(ServerError("server failed with HTTP status code 503", 503)) == TRANSIENT


def test_ways_to_a_store_that_break():
    import urllib3
    from botocore import exceptions as boto

    pool: Any = urllib3.HTTPConnectionPool("host")
    refused = urllib3.exceptions.ResponseError("too many 503 error responses")
    assert classify(urllib3.exceptions.MaxRetryError(pool, "/b/k", refused)) == TRANSIENT
    for kind in (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ReadTimeoutError,
                 boto.ConnectionClosedError):  # fmt: skip
        assert classify(kind(endpoint_url="http://host", error="x")) == TRANSIENT
    assert classify(boto.NoCredentialsError()) == PERMANENT
    assert classify(boto.PartialCredentialsError(provider="env", cred_var="secret")) == PERMANENT
    assert classify(boto.NoRegionError()) == PERMANENT


def bulk(*codes: int) -> Exception:
    from pymongo.errors import BulkWriteError

    errors = [{"index": n, "code": code, "errmsg": "x"} for n, code in enumerate(codes)]
    return BulkWriteError({"writeErrors": errors, "writeConcernErrors": []})


def test_mongodb():
    from bson.errors import InvalidDocument
    from pymongo import errors

    def failed(code: int, message: str, **more: Any) -> Exception:
        return errors.OperationFailure(message, code, {"code": code, "errmsg": message, **more})

    assert classify(failed(18, "Authentication failed.")) == PERMANENT
    assert classify(failed(13, "not authorized on db to execute command")) == PERMANENT
    assert classify(failed(8000, "bad auth : authentication failed")) == PERMANENT
    assert classify(errors.DocumentTooLarge("BSON document too large (17 MB)")) == PERMANENT
    assert classify(InvalidDocument("cannot encode object")) == PERMANENT
    assert classify(failed(10334, "BSONObj size: 16793611 is invalid")) == PERMANENT
    assert classify(bulk(121)) == PERMANENT  # a validator of the collection
    assert classify(bulk(112, 121)) == PERMANENT
    assert classify(bulk(112)) == TRANSIENT  # WriteConflict
    assert classify(errors.NotPrimaryError("not primary", {"code": 10107})) == TRANSIENT
    assert classify(failed(64, "waiting for replication timed out")) == TRANSIENT
    labelled = {"errorLabels": ["RetryableWriteError"]}
    assert classify(failed(-1, "said nothing", **labelled)) == TRANSIENT
    assert classify(errors.WaitQueueTimeoutError("no connection")) == TRANSIENT
    assert classify(failed(999_999, "a code that nobody knows")) == UNKNOWN


def neo4j_error(code: str, message: str = "said so") -> Exception:
    from neo4j.exceptions import Neo4jError

    return Neo4jError._hydrate_neo4j(code=code, message=message)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Neo.ClientError.Security.Unauthorized", PERMANENT),
        ("Neo.ClientError.Security.Forbidden", PERMANENT),
        ("Neo.ClientError.Statement.SyntaxError", PERMANENT),
        ("Neo.ClientError.Schema.ConstraintValidationFailed", PERMANENT),
        ("Neo.ClientError.Security.AuthorizationExpired", TRANSIENT),
        ("Neo.ClientError.Cluster.NotALeader", TRANSIENT),
        ("Neo.TransientError.Transaction.DeadlockDetected", TRANSIENT),
        ("Neo.TransientError.General.DatabaseUnavailable", TRANSIENT),
        ("Neo.DatabaseError.General.UnknownError", UNKNOWN),
    ],
)
def test_neo4j(code, expected):
    assert classify(neo4j_error(code)) == expected


def test_neo4j_s_driver():
    from neo4j import exceptions

    assert classify(exceptions.ServiceUnavailable("Couldn't connect")) == TRANSIENT
    assert classify(exceptions.SessionExpired("gone")) == TRANSIENT
    assert classify(exceptions.ConnectionAcquisitionTimeoutError("60 s")) == TRANSIENT
    assert classify(exceptions.ConfigurationError("no such scheme")) == PERMANENT


@pytest.mark.parametrize(
    ("sqlstate", "expected"),
    [
        ("28P01", PERMANENT), ("28000", PERMANENT), ("42501", PERMANENT), ("22021", PERMANENT),
        ("22P05", PERMANENT), ("23502", PERMANENT), ("54000", PERMANENT), ("3D000", PERMANENT),
        ("40001", TRANSIENT), ("40P01", TRANSIENT), ("53100", TRANSIENT), ("53300", TRANSIENT),
        ("55P03", TRANSIENT), ("57P01", TRANSIENT), ("57014", TRANSIENT), ("08006", TRANSIENT),
        ("25006", TRANSIENT), ("58030", TRANSIENT), ("XX000", UNKNOWN), ("P0001", UNKNOWN),
    ],
)  # fmt: skip
def test_postgres(sqlstate, expected):
    from psycopg import errors

    assert classify(errors.lookup(sqlstate)("said so")) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('FATAL:  password authentication failed for user "quintet"', PERMANENT),
        ('FATAL:  role "nobody" does not exist', PERMANENT),
        ('FATAL:  database "nothing" does not exist', PERMANENT),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "quintet"', PERMANENT),
        ("fe_sendauth: no password supplied", PERMANENT),
        ("FATAL:  the database system is starting up", TRANSIENT),
        ("FATAL:  sorry, too many clients already", TRANSIENT),
        ("Connection refused", TRANSIENT),
    ],
)
def test_a_connection_that_postgres_refuses_has_no_state(said, expected):
    from psycopg import OperationalError

    start = 'connection failed: connection to server at "127.0.0.1", port 5432 failed: '
    assert classify(OperationalError(start + said)) == expected


def milvus(code: int, message: str, **more: Any) -> Exception:
    error: Exception = sdk().MilvusException(code=code, message=message, **more)
    return error


def test_milvus():
    import grpc
    from pymilvus import exceptions

    too_long = "length of varchar field text exceeds max length, row number: 0, length: 70000"
    assert classify(milvus(1100, f"{too_long}, max length: 65535: invalid parameter")) == PERMANENT
    assert classify(milvus(65535, too_long)) == PERMANENT
    assert classify(milvus(65535, "value 'NaN' is not a number or infinity")) == PERMANENT
    assert classify(milvus(1400, "privilege not authenticated")) == PERMANENT
    assert classify(milvus(65535, "auth check failure, please check api key is correct")) == (
        PERMANENT
    )
    assert classify(milvus(1, "wrong", is_input_error=True)) == PERMANENT
    assert classify(exceptions.ParamError(message="dim mismatch")) == PERMANENT
    assert classify(exceptions.DataNotMatchException(message="an int for a string")) == PERMANENT
    assert classify(milvus(8, "rate limit exceeded[rate=0]")) == TRANSIENT
    assert classify(milvus(2200, "moved", retriable=True)) == TRANSIENT
    assert classify(milvus(2, "Fail connecting to server on host:1")) == TRANSIENT
    assert classify(milvus(1, "[upsert] Retry timeout: 30.0s")) == TRANSIENT
    assert classify(milvus(65535, "something new")) == UNKNOWN

    class Refused(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAUTHENTICATED

    assert classify(Refused()) == PERMANENT


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, PERMANENT), (401, PERMANENT), (403, PERMANENT), (404, PERMANENT), (422, PERMANENT),
     (408, TRANSIENT), (429, TRANSIENT), (500, TRANSIENT), (503, TRANSIENT)],
)  # fmt: skip
def test_typesense(status, expected):
    from typesense.configuration import Configuration
    from typesense.request_handler import RequestHandler

    settings: Any = {"nodes": [{"host": "h", "port": 1, "protocol": "http"}], "api_key": "k"}
    handler: Any = RequestHandler(Configuration(settings))
    assert classify(handler._get_exception(status)(status, "said so")) == expected


def test_typesense_that_does_not_answer():
    from typesense import exceptions

    assert classify(exceptions.HTTPStatus0Error()) == TRANSIENT
    assert classify(exceptions.Timeout()) == TRANSIENT
    assert classify(exceptions.TypesenseClientError("All nodes are unhealthy")) == TRANSIENT
    assert classify(exceptions.InvalidParameter("no")) == PERMANENT
    assert classify(exceptions.ConfigError("no nodes")) == PERMANENT


def test_openai():
    import httpx
    import openai

    def refused(kind: Any, status: int) -> Exception:
        answer = httpx.Response(status, request=httpx.Request("POST", "http://host"))
        error: Exception = kind("said so", response=answer, body=None)
        return error

    assert classify(refused(openai.AuthenticationError, 401)) == PERMANENT
    assert classify(refused(openai.PermissionDeniedError, 403)) == PERMANENT
    assert classify(refused(openai.BadRequestError, 400)) == PERMANENT
    assert classify(refused(openai.RateLimitError, 429)) == TRANSIENT
    assert classify(refused(openai.ConflictError, 409)) == TRANSIENT
    assert classify(refused(openai.InternalServerError, 500)) == TRANSIENT
    request: Any = httpx.Request("POST", "http://host")
    assert classify(openai.APITimeoutError(request)) == TRANSIENT
    assert classify(openai.APIConnectionError(request=request)) == TRANSIENT


def test_the_machine_itself():
    def number(code: int) -> OSError:
        return OSError(code, os.strerror(code))

    assert classify(number(errno.ENOSPC)) == TRANSIENT
    assert classify(number(errno.EHOSTUNREACH)) == TRANSIENT
    assert classify(number(errno.EACCES)) == PERMANENT
    assert classify(number(errno.ENOENT)) == PERMANENT
    assert classify(number(errno.EBADF)) == UNKNOWN
    assert classify(MemoryError()) == UNKNOWN
    assert classify(ValueError("a defect of ours")) == UNKNOWN
