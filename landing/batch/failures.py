"""Failures classed: which are worth another attempt and which wait for an operator.

Belongs here: the classes of failure, the decision among them, and what is no failure. Does not:
retrying, and which codes are worth it (``resources/retryable.py``). No SDK is imported: errors are
told apart by their names, modules and status codes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from resources import retryable

#: "unknown" is tried again a few times (states.UNKNOWN_RUNS) and then waits for an operator.
FailureClass = Literal["transient", "permanent", "unknown"]

_CLIENT_ERRORS, _LAST = 400, 600
_PERMANENT_BUILTIN = (
    PermissionError, ImportError, SyntaxError, AttributeError, NameError, TypeError,
    KeyError, NotImplementedError,
)  # fmt: skip


class PermanentError(Exception):
    """No further attempt will help: configuration, credentials, a defect."""


class TransientError(Exception):
    """Another attempt may succeed."""


class GoesOnLater(Exception):
    """No failure: what is left is somebody else's work, and a later run goes on after it.

    The text says whose. ``count`` is how many results are waited for.
    """

    def __init__(self, why: str, count: int) -> None:
        super().__init__(why)
        self.count = count


def classify(exc: BaseException) -> FailureClass:
    """The class of a failure, decided by the nearest error in its chain that says anything."""
    if not isinstance(exc, Exception):
        return "transient"  # an interrupted run says nothing about its batch
    for error in _chain(exc):
        verdict = _verdict(error)
        if verdict is not None:
            return verdict
    return "unknown"


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
    # What a system says by its own codes, before statuses, which stand for many things.
    signs: tuple[Callable[[Any], bool | None], ...] = (
        _by_last_attempt, _by_google_auth, _by_bigquery, _by_grpc, _by_database, _by_s3, _by_status,
        _by_name,
    )  # fmt: skip
    for sign in signs:
        worth_another = sign(error)
        if worth_another is not None:
            return "transient" if worth_another else "permanent"
    return None


def _by_last_attempt(error: Any) -> bool | None:
    """Attempts that ended (google.api_core, tenacity): what the last was refused with decides."""
    if type(error).__name__ != "RetryError":
        return None
    last = getattr(error, "cause", None)
    attempt = getattr(error, "last_attempt", None)
    if attempt is not None:
        last = attempt.exception()
    return last is None or _verdict(last) != "permanent"


def _by_google_auth(error: Any) -> bool | None:
    """A token that could not be got: because of the way there, or because of who asks."""
    if not type(error).__module__.startswith("google.auth"):
        return None
    if getattr(error, "retryable", False):
        return True
    way = type(error.__cause__).__name__ == "TransportError"
    return way or type(error).__name__ == "TransportError"


def _by_bigquery(error: Any) -> bool | None:
    if not type(error).__module__.startswith("google."):
        return None
    details = getattr(error, "errors", None) or ()
    reasons = tuple(str(one.get("reason")) for one in details if isinstance(one, dict))
    return True if retryable.bigquery(reasons, str(error)) else None


def _by_grpc(error: Any) -> bool | None:
    # google.api_core's errors carry this beside the HTTP status that it is mapped to.
    code = getattr(error, "grpc_status_code", None) or getattr(error, "code", None)
    if callable(code):
        try:
            code = code()
        except TypeError:  # another client's "code" that wants arguments
            return None
    name = getattr(code, "name", None)
    return retryable.grpc(name) if isinstance(name, str) else None


def _by_database(error: Any) -> bool | None:
    system = type(error).__module__.partition(".")[0]
    code = getattr(error, "code", None)
    if isinstance(state := getattr(error, "sqlstate", None), str):
        return retryable.postgres(state)
    if system == "psycopg":
        return retryable.postgres_login(str(error))
    if system == "neo4j" and isinstance(code, str):
        return retryable.bolt(code)
    if system == "pymongo":
        return _by_mongo(error, code)
    if system == "pymilvus" and isinstance(code, int):
        return _by_milvus(error, code)
    return None


def _by_mongo(error: Any, code: Any) -> bool | None:
    details = getattr(error, "details", None) or {}
    # A bulk write has a code of its own; those of its rows decide, the worst of them.
    parts = [one.get("code") for one in details.get("writeErrors") or () if isinstance(one, dict)]
    found = {retryable.mongo(one) for one in parts or [code] if isinstance(one, int)}
    if False in found:
        return False
    if labels_of := getattr(error, "has_error_label", None):
        labels = ("RetryableWriteError", "TransientTransactionError")
        if any(labels_of(label) for label in labels):
            return True
    return True if found == {True} else None


def _by_milvus(error: Any, code: int) -> bool | None:
    if any(part in type(error).__name__ for part in retryable.ERROR_NAMES_PERMANENT):
        return False  # its client's own checks all have the code 1
    if getattr(error, "is_input_error", False):
        return False
    return True if getattr(error, "retriable", False) else retryable.milvus(code, str(error))


def _by_s3(error: Any) -> bool | None:
    code = getattr(error, "code", None)  # minio
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        code = response.get("Error", {}).get("Code")
    return retryable.s3(code) if isinstance(code, str) else None


def _by_status(error: Any) -> bool | None:
    status = _status(error)
    if status is None:
        return None
    # Its client gives up after some attempts; what it repeats is no reason to stop a batch.
    if type(error).__module__.startswith("openai"):
        return status in retryable.OPENAI_STATUSES
    return retryable.http(status)


def _status(error: Any) -> int | None:
    """The HTTP status that an error of any client carries, or None."""
    response = getattr(error, "response", None)
    module = type(error).__module__
    candidates: list[object] = [
        getattr(error, "status_code", None),
        getattr(error, "http_status", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
        getattr(response, "status", None),
    ]
    if isinstance(response, dict):  # botocore
        candidates.append(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    if module.startswith(("google.", "urllib.")):
        candidates.append(getattr(error, "code", None))
    if module.startswith("typesense"):
        candidates.append(getattr(error, "errno", None))
    for candidate in candidates:
        if isinstance(candidate, int) and _CLIENT_ERRORS <= candidate < _LAST:
            return int(candidate)
    return None


def _by_name(error: BaseException) -> bool | None:
    if isinstance(error, _PERMANENT_BUILTIN):
        return False
    if isinstance(error, retryable.SOCKET_ERRORS):
        return True
    if isinstance(error, OSError) and retryable.os_error(error.errno):
        return True
    for kind in type(error).__mro__:
        if any(part in kind.__name__ for part in retryable.ERROR_NAMES_PERMANENT):
            return False
        if any(part in kind.__name__ for part in retryable.ERROR_NAMES):
            return True
    return None
