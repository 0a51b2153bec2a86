"""Failures classed: which are worth another attempt and which wait for an operator.

Belongs here: the two classes of failure and the decision between them. Does not: retrying.
No SDK is imported: errors are told by their names, modules and status codes.
"""

from __future__ import annotations

from typing import Literal

FailureClass = Literal["transient", "permanent"]

_CLIENT_ERRORS, _SERVER_ERRORS, _LAST = 400, 500, 600
#: Statuses below 500 that another attempt may change: timeout, conflict-free retry, too many.
_TRANSIENT_STATUSES = frozenset({408, 425, 429})
#: 5xx that no attempt will change: not implemented, HTTP version.
_PERMANENT_SERVER_STATUSES = frozenset({501, 505})

_TRANSIENT_GRPC = frozenset(
    {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL",
     "UNAVAILABLE", "DATA_LOSS"}
)  # fmt: skip
_PERMANENT_GRPC = frozenset(
    {"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED",
     "FAILED_PRECONDITION", "OUT_OF_RANGE", "UNIMPLEMENTED"}
)  # fmt: skip

#: SQLSTATE classes of Postgres: credentials, catalogue, syntax and rights, wrong data.
_PERMANENT_SQLSTATES = ("28", "3D", "3F", "42", "22", "23", "0A")
#: MongoDB codes: authentication failed, unauthorized.
_PERMANENT_MONGO = frozenset({13, 18, 8000})
_PERMANENT_NEO4J = ("Neo.ClientError.",)
#: Neo4j reports contention as client errors in these two cases only.
_TRANSIENT_NEO4J = ("Neo.ClientError.Cluster.NotALeader", "Neo.ClientError.Transaction.")

_TRANSIENT_NAMES = (
    "Timeout", "TimedOut", "ConnectionError", "ConnectError", "ConnectionReset",
    "ConnectionRefused", "AutoReconnect", "ServiceUnavailable", "SessionExpired",
    "TransientError", "TooManyRequests", "RateLimit", "SlowDown", "Throttl", "NetworkError",
    "ServerSelection", "NotPrimary", "InternalServerError", "BadGateway", "OperationalError",
    "IncompleteRead", "ProtocolError",
)  # fmt: skip
_PERMANENT_NAMES = (
    "Authentication", "AuthError", "Unauthorized", "Forbidden", "PermissionDenied",
    "PermissionError", "AccessDenied", "NoCredentials", "CredentialsError", "BadRequest",
    "InvalidArgument", "ConfigurationError", "InvalidConfig", "ParamError", "NotFound",
    "InvalidSignature", "SignatureDoesNotMatch", "InvalidAccessKey", "NoSuchBucket", "InvalidURI",
)  # fmt: skip
_PERMANENT_BUILTIN = (
    PermissionError, ImportError, SyntaxError, AttributeError, NameError, TypeError,
    KeyError, NotImplementedError,
)  # fmt: skip


class PermanentError(Exception):
    """No further attempt will help: configuration, credentials, a defect."""


class TransientError(Exception):
    """Another attempt may succeed."""


def classify(exc: BaseException) -> FailureClass:
    """The class of a failure, told by the nearest error in its chain that says anything.

    What nothing is known about counts as transient: an attempt too many costs time, one too few
    leaves a batch lying.
    """
    for error in _chain(exc):
        verdict = _verdict(error)
        if verdict is not None:
            return verdict
    return "transient"


def _chain(exc: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = exc
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return chain


def _verdict(error: BaseException) -> FailureClass | None:
    if isinstance(error, PermanentError):
        return "permanent"
    if isinstance(error, TransientError):
        return "transient"
    return _by_status(error) or _by_grpc(error) or _by_database(error) or _by_name(error)


def _by_name(error: BaseException) -> FailureClass | None:
    if isinstance(error, _PERMANENT_BUILTIN):
        return "permanent"
    if isinstance(error, ConnectionError | TimeoutError):
        return "transient"
    for kind in type(error).__mro__:
        if any(part in kind.__name__ for part in _PERMANENT_NAMES):
            return "permanent"
        if any(part in kind.__name__ for part in _TRANSIENT_NAMES):
            return "transient"
    return None


def _by_status(error: BaseException) -> FailureClass | None:
    status = _status(error)
    if status is None:
        return None
    if status in _TRANSIENT_STATUSES:
        return "transient"
    if _SERVER_ERRORS <= status < _LAST and status not in _PERMANENT_SERVER_STATUSES:
        return "transient"
    return "permanent"


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of any client carries, or None."""
    response = getattr(error, "response", None)
    candidates: list[object] = [
        getattr(error, "status_code", None),
        getattr(error, "http_status", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
    ]
    if isinstance(response, dict):  # botocore
        candidates.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    if type(error).__module__.startswith(("google.", "urllib.")):
        candidates.append(getattr(error, "code", None))
    for candidate in candidates:
        if isinstance(candidate, int) and _CLIENT_ERRORS <= candidate < _LAST:
            return int(candidate)
    return None


def _by_grpc(error: BaseException) -> FailureClass | None:
    code = getattr(error, "code", None)
    if callable(code):
        try:
            code = code()
        except TypeError:  # another client's "code" that wants arguments
            return None
    name = getattr(code, "name", None)
    if not isinstance(name, str):
        return None
    if name in _TRANSIENT_GRPC:
        return "transient"
    return "permanent" if name in _PERMANENT_GRPC else None


def _by_database(error: BaseException) -> FailureClass | None:
    module = type(error).__module__
    code: object = getattr(error, "sqlstate", None)
    if isinstance(code, str):
        return "permanent" if code.startswith(_PERMANENT_SQLSTATES) else "transient"
    code = getattr(error, "code", None)
    if module.startswith("neo4j") and isinstance(code, str):
        if code.startswith(_TRANSIENT_NEO4J):
            return "transient"
        return "permanent" if code.startswith(_PERMANENT_NEO4J) else "transient"
    if module.startswith("pymongo") and isinstance(code, int) and code in _PERMANENT_MONGO:
        return "permanent"
    return None
