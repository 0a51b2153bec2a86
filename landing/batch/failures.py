"""Failures classed: which are worth another attempt and which wait for an operator.

Belongs here: the two classes of failure, the decision between them, and what is no failure. Does
not: retrying, and which codes are worth it (``resources/retryable.py``). No SDK is imported: errors
are told apart by their names, modules and status codes.
"""

from __future__ import annotations

from typing import Literal

from resources import retryable

FailureClass = Literal["transient", "permanent"]

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
    """The class of a failure, decided by the nearest error in its chain that says anything.

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
    if retryable.bigquery(error):
        return "transient"
    return _by_status(error) or _by_grpc(error) or _by_database(error) or _by_name(error)


def _class(worth_another: bool | None) -> FailureClass | None:
    if worth_another is None:
        return None
    return "transient" if worth_another else "permanent"


def _by_name(error: BaseException) -> FailureClass | None:
    if isinstance(error, _PERMANENT_BUILTIN):
        return "permanent"
    if isinstance(error, retryable.SOCKET_ERRORS):
        return "transient"
    for kind in type(error).__mro__:
        if any(part in kind.__name__ for part in retryable.ERROR_NAMES_PERMANENT):
            return "permanent"
        if any(part in kind.__name__ for part in retryable.ERROR_NAMES):
            return "transient"
    return None


def _by_status(error: BaseException) -> FailureClass | None:
    status = _status(error)
    if status is None:
        return None
    # Its client gives up after some attempts; what it repeats is no reason to stop a batch.
    if type(error).__module__.startswith("openai"):
        return _class(status in retryable.OPENAI_STATUSES)
    return _class(retryable.http(status))


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
    return _class(retryable.grpc(name)) if isinstance(name, str) else None


def _by_database(error: BaseException) -> FailureClass | None:
    module = type(error).__module__
    code: object = getattr(error, "sqlstate", None)
    if isinstance(code, str):
        return _class(retryable.postgres(code))
    code = getattr(error, "code", None)
    if module.startswith("neo4j") and isinstance(code, str):
        return _class(retryable.bolt(code))
    if module.startswith("pymongo") and isinstance(code, int):
        return _class(retryable.mongo(code))
    return None
