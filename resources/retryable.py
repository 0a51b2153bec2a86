"""Which answers of outside systems another attempt may change, by transport: one set for all.

Belongs here: codes, statuses, reasons and names of errors, and a question for each transport: True
where a later attempt may succeed, False where none will, None where the code says nothing. Does
not: what an error carries of them (``landing/batch/failures.py``), or the attempts. No SDK is
imported.
"""

from __future__ import annotations

import errno
import socket
from typing import TypeVar

Code = TypeVar("Code", int, str)

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

#: Classes of SQLSTATE. Connection, contention, resources, an operator's hand, the system itself,
#: and a server that is a standby for now: postgresql.org/docs/current/errcodes-appendix.html
_SQLSTATES = ("08", "40", "53", "55", "57", "58", "25006")
#: Credentials, catalogue, syntax and rights, wrong data, what is too large for a limit.
_SQLSTATES_PERMANENT = ("28", "3D", "3F", "42", "21", "22", "23", "54", "0A")
#: What libpq says of a refused login, for which it gives no SQLSTATE.
_LOGIN_REFUSED = (
    "authentication failed", "no pg_hba.conf entry", "no password supplied",
    "is not permitted to log in",
)  # fmt: skip
_LOGIN_NAMES = ("role", "database")

#: MongoDB, github.com/mongodb/mongo/blob/master/src/mongo/base/error_codes.yml. Credentials and
#: rights (8000 is Atlas's); a request, document or index entry that is wrong or too large.
_MONGO_PERMANENT = frozenset(
    {2, 9, 11, 13, 14, 18, 20, 22, 28, 31, 52, 53, 54, 55, 56, 57, 59, 66, 67, 72, 73, 85, 86, 121,
     8000, 10334, 17280, 17419, 17420}
)  # fmt: skip
#: A server that steps down, stops, is out of reach, or did not do it in time; a write conflict.
_MONGO = frozenset(
    {6, 7, 24, 43, 46, 50, 63, 64, 89, 91, 100, 107, 112, 117, 133, 134, 150, 189, 202, 225, 234,
     237, 246, 262, 365, 9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436}
)  # fmt: skip

_BOLT = ("Neo.TransientError.",)
_BOLT_PERMANENT = ("Neo.ClientError.",)
#: Neo4j reports contention, a moved leader and an expired login as client errors.
_BOLT_CLIENT = (
    "Neo.ClientError.Cluster.NotALeader", "Neo.ClientError.Transaction.",
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
    "Neo.ClientError.Security.AuthorizationExpired",
)  # fmt: skip
#: What an operator has to look into: a full disk, a corrupt store; and an answer without a reason.
_BOLT_SERVER = "Neo.DatabaseError."

#: Milvus, github.com/milvus-io/milvus/blob/master/pkg/util/merr/errors.go: unavailable, memory,
#: too many requests, cross routing, rate, delay, resources, not loaded yet, nodes and channels that
#: move, storage; cancelled, timed out. 1 is "not ready", and whatever its client has no code for.
_MILVUS = frozenset(
    {2, 3, 4, 8, 11, 12, 101, 103, 106, 201, 202, *range(400, 404), *range(500, 505), 600,
     602, 603, 901, 902, 903, 904, 1001, 1002, *range(1300, 1304), 10000, 10001}
)  # fmt: skip
#: Not there, parameters and data that are wrong or too large, rights, names, schemas.
_MILVUS_PERMANENT = frozenset(
    {10, 100, 102, 105, 109, 110, 700, 702, 703, 800, 802, 1100, 1101, 1102, 1400, 1401, 1402,
     1600, 1700, 1701, *range(1800, 1809), 2100}
)  # fmt: skip
#: One code stands for many things there: what the texts say.
_MILVUS_WORDS_PERMANENT = (
    "auth check failure", "permission deny", "exceeds max length", "exceeds max_length",
    "is not a number or infinity", "invalid parameter",
)  # fmt: skip
_MILVUS_WORDS = (
    "Retry timeout", "Retry run out", "service not ready", "service unavailable", "Fail connecting",
)  # fmt: skip

#: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and MinIO's own, of any status.
_S3 = frozenset(
    {"SlowDown", "SlowDownRead", "SlowDownWrite", "Busy", "InternalError", "OperationAborted",
     "OperationTimedOut", "RequestLimitExceeded", "RequestTimeout", "RequestTimeoutException",
     "PriorRequestNotComplete", "ServiceUnavailable", "Throttling", "ThrottlingException",
     "ThrottledException", "TooManyRequests", "TooManyRequestsException", "BandwidthLimitExceeded",
     "ProvisionedThroughputExceededException", "TransactionInProgressException",
     "XMinioBackendDown", "XMinioServerNotInitialized", "XMinioReadQuorum", "XMinioWriteQuorum",
     "IncompleteBody"}
)  # fmt: skip

#: Reasons with which BigQuery refuses, under the status of a request that is wrong, what it takes
#: a little later. https://cloud.google.com/bigquery/docs/error-messages
BIGQUERY_REASONS = frozenset(
    {"rateLimitExceeded", "quotaExceeded", "jobRateLimitExceeded", "backendError", "badGateway",
     "jobBackendError", "internalError", "jobInternalError", "tableUnavailable",
     "resourcesExceeded", "stopped", "timeout"}
)  # fmt: skip
#: Those that come as "invalidQuery", or as a text without a reason.
BIGQUERY_WORDS = (
    "concurrent update", "Could not serialize access", "Exceeded rate limits",
    "Resources exceeded during query execution",
)  # fmt: skip

#: Parts of the names of clients' errors that carry no code.
ERROR_NAMES = (
    "Timeout", "TimedOut", "ConnectionError", "ConnectError", "ConnectionReset",
    "ConnectionRefused", "ConnectionClosed", "AutoReconnect", "ServiceUnavailable",
    "SessionExpired", "TransientError", "TooManyRequests", "RateLimit", "SlowDown", "Throttl",
    "NetworkError", "ServerSelection", "NotPrimary", "InternalServerError", "BadGateway",
    "OperationalError", "IncompleteRead", "ProtocolError", "MaxRetryError", "HTTPClientError",
    "ChunkedEncodingError", "TransportError", "ServerError", "HTTPStatus0", "MilvusUnavailable",
    "ResponseValidationError", "ResponseStreamingError", "DeadlineExceeded", "WaitQueue",
    "TypesenseClientError",
)  # fmt: skip
ERROR_NAMES_PERMANENT = (
    "Authentication", "AuthError", "Unauthorized", "Forbidden", "PermissionDenied",
    "PermissionError", "AccessDenied", "NoCredentials", "CredentialsError", "BadRequest",
    "InvalidArgument", "ConfigurationError", "InvalidConfig", "ConfigError", "ParamError",
    "NotFound", "InvalidSignature", "SignatureDoesNotMatch", "InvalidAccessKey", "NoSuchBucket",
    "InvalidURI", "RefreshError", "NoRegionError", "DocumentTooLarge", "InvalidDocument",
    "InvalidBSON", "DataNotMatch", "DataTypeNot", "FieldTypeException", "PrimaryKeyException",
    "RequestMalformed", "Unprocessable", "TooLong", "InvalidParameter",
)  # fmt: skip
#: Sockets and waiting: what the interpreter itself raises.
SOCKET_ERRORS = (ConnectionError, TimeoutError, socket.gaierror)
#: A machine that is out of something, or off the network.
_ERRNOS = frozenset(
    {errno.EAGAIN, errno.EDQUOT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO, errno.EMFILE,
     errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE, errno.ENOMEM, errno.ENOSPC}
)  # fmt: skip


def http(status: int) -> bool:
    """Of a status of HTTP, from 400."""
    return status in HTTP_STATUSES


def grpc(code: str) -> bool | None:
    """Of a gRPC status, by its name."""
    return _among(code, _GRPC, _GRPC_PERMANENT)


def postgres(sqlstate: str) -> bool | None:
    """Of a SQLSTATE."""
    if sqlstate.startswith(_SQLSTATES):
        return True
    return False if sqlstate.startswith(_SQLSTATES_PERMANENT) else None


def postgres_login(message: str) -> bool | None:
    """Of a connection that was refused: False where the login was, in libpq's English words."""
    absent = "does not exist" in message and any(f"{one} " in message for one in _LOGIN_NAMES)
    return False if absent or any(words in message for words in _LOGIN_REFUSED) else None


def mongo(code: int) -> bool | None:
    """Of a code of MongoDB."""
    return _among(code, _MONGO, _MONGO_PERMANENT)


def bolt(code: str) -> bool | None:
    """Of a status code of Neo4j."""
    if code.startswith(_BOLT_CLIENT):
        return True
    if code.startswith(_BOLT_SERVER):
        return None
    return False if code.startswith(_BOLT_PERMANENT) else True if code.startswith(_BOLT) else None


def milvus(code: int, message: str) -> bool | None:
    """Of a code of Milvus and its text."""
    if any(words in message for words in _MILVUS_WORDS_PERMANENT):
        return False
    if any(words in message for words in _MILVUS_WORDS):
        return True
    return _among(code, _MILVUS, _MILVUS_PERMANENT)


def s3(code: str) -> bool | None:
    """Of an error code of S3 or MinIO: True whatever the status that it is under."""
    return True if code in _S3 else None


def os_error(number: int | None) -> bool | None:
    """Of the number of an error of the operating system."""
    return True if number in _ERRNOS else None


def bigquery(reasons: tuple[str, ...], message: str) -> bool:
    """Whether BigQuery names a reason that passes, whatever the status that it is under."""
    if any(reason in BIGQUERY_REASONS for reason in reasons):
        return True
    return any(words in message for words in BIGQUERY_WORDS)


def _among(code: Code, passing: frozenset[Code], lasting: frozenset[Code]) -> bool | None:
    return True if code in passing else False if code in lasting else None
