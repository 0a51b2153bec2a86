"""Which answers of outside systems another attempt may change, by transport: one set for all.

Belongs here: codes, statuses and names of errors, and a question for each transport. Does not:
what an error carries of them (``landing/batch/failures.py``), or the attempts. No SDK is imported.
"""

from __future__ import annotations

#: Timeout, too early, too many; and 5xx but for "not implemented" and "HTTP version".
HTTP_STATUSES = frozenset({408, 425, 429, *range(500, 600)} - {501, 505})
#: OpenAI answers 409 when it could not get a lock in time.
OPENAI_STATUSES = HTTP_STATUSES | {409}

_GRPC = frozenset(
    {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL",
     "UNAVAILABLE", "DATA_LOSS"}
)  # fmt: skip
_GRPC_PERMANENT = frozenset(
    {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED",
     "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"}
)  # fmt: skip

#: Classes of SQLSTATE: credentials, catalogue, syntax and rights, wrong data.
_SQLSTATES_PERMANENT = ("28", "3D", "3F", "42", "22", "23", "0A")
#: MongoDB: unauthorized, authentication failed, Atlas's error of the same.
_MONGO_PERMANENT = frozenset({13, 18, 8000})
_BOLT_PERMANENT = ("Neo.ClientError.",)
#: Neo4j reports contention as client errors in these two cases only.
_BOLT = ("Neo.ClientError.Cluster.NotALeader", "Neo.ClientError.Transaction.")

#: Reasons with which BigQuery refuses, under the status of a request that is wrong, what it takes
#: a little later. https://cloud.google.com/bigquery/docs/error-messages
BIGQUERY_REASONS = frozenset(
    {"rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded", "backendError",
     "jobBackendError", "internalError", "jobInternalError", "tableUnavailable"}
)  # fmt: skip
BIGQUERY_WORDS = ("concurrent update", "Exceeded rate limits")

#: Parts of the names of clients' errors that carry no code.
ERROR_NAMES = (
    "Timeout", "TimedOut", "ConnectionError", "ConnectError", "ConnectionReset",
    "ConnectionRefused", "AutoReconnect", "ServiceUnavailable", "SessionExpired",
    "TransientError", "TooManyRequests", "RateLimit", "SlowDown", "Throttl", "NetworkError",
    "ServerSelection", "NotPrimary", "InternalServerError", "BadGateway", "OperationalError",
    "IncompleteRead", "ProtocolError",
)  # fmt: skip
ERROR_NAMES_PERMANENT = (
    "Authentication", "AuthError", "Unauthorized", "Forbidden", "PermissionDenied",
    "PermissionError", "AccessDenied", "NoCredentials", "CredentialsError", "BadRequest",
    "InvalidArgument", "ConfigurationError", "InvalidConfig", "ParamError", "NotFound",
    "InvalidSignature", "SignatureDoesNotMatch", "InvalidAccessKey", "NoSuchBucket", "InvalidURI",
)  # fmt: skip
#: Sockets and waiting: what the interpreter itself raises.
SOCKET_ERRORS = (ConnectionError, TimeoutError)


def http(status: int) -> bool:
    """Whether a request that was answered with this status may succeed later."""
    return status in HTTP_STATUSES


def grpc(code: str) -> bool | None:
    """The same of a gRPC status, by its name; None for a name that is none."""
    return True if code in _GRPC else False if code in _GRPC_PERMANENT else None


def postgres(sqlstate: str) -> bool:
    """The same of a SQLSTATE."""
    return not sqlstate.startswith(_SQLSTATES_PERMANENT)


def mongo(code: int) -> bool | None:
    """False for a code of MongoDB that no attempt will change, None for what says nothing."""
    return False if code in _MONGO_PERMANENT else None


def bolt(code: str) -> bool:
    """The same of a status code of Neo4j."""
    return code.startswith(_BOLT) or not code.startswith(_BOLT_PERMANENT)


def bigquery(error: BaseException) -> bool:
    """Whether BigQuery names a reason that passes, whatever the status that it is under."""
    details = getattr(error, "errors", None) or ()
    if isinstance(details, list | tuple) and any(
        isinstance(one, dict) and one.get("reason") in BIGQUERY_REASONS for one in details
    ):
        return True
    return any(words in str(error) for words in BIGQUERY_WORDS)
