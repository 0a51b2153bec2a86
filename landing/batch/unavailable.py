"""An object that its store does not give: whether that is the object's fault or the system's.

Belongs here: telling the two apart, and the evidence that it takes. Does not: reading
(``row_buffer.py``), classes of failures (``failures.py``), what becomes of such an object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from landing.arrival.identity import ObjectVersion
from landing.batch.failures import FailureClass, classify
from landing.stores.base import ObjectNotCurrent

#: The packages of the stores' clients and what they stand on. No parser raises their errors.
_CLIENTS = frozenset({"botocore", "google", "http", "minio", "requests", "ssl", "urllib3"})
#: What S3 says of who asks, or of the bucket: no object is at fault.
_OF_THE_SYSTEM = frozenset(
    {"AccountProblem", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity",
     "InvalidToken", "NoSuchBucket", "NotSignedUp", "RequestTimeTooSkewed",
     "SignatureDoesNotMatch", "TokenRefreshRequired"}
)  # fmt: skip
_UNAUTHORIZED = 401
#: Objects in a row that may fail before the store counts as away, and those tried as evidence.
IN_A_ROW = 5
_PROBES = 3


class ObjectUnavailable(Exception):
    """The store did not give this object. ``detail`` are its own words; the cause is its error."""

    def __init__(self, kind: FailureClass, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[FailureClass, str]]:
        """Other processes may raise it: pickle would make it anew of its message."""
        return type(self), (self.kind, self.detail)


def unavailable(error: Exception) -> ObjectUnavailable | None:
    """What an error means that came while one object was read; None for no word of its store.

    Nor is a word about who asks, or about the bucket: that is the batch's failure.
    """
    if isinstance(error, ObjectUnavailable):
        return error
    said = next((one for one in _chain(error) if _is_of_a_store(one)), None)
    if said is None or _is_of_the_system(said):
        return None
    return ObjectUnavailable(classify(error), f"{type(said).__name__}: {said}"[:2_000])


def is_well(read: Sequence[ObjectVersion], probe: Callable[[ObjectVersion], Any]) -> bool:
    """Whether the store still gives something of what it gave before."""
    for version in read[-_PROBES:]:
        try:
            probe(version)
        except ObjectNotCurrent:
            continue
        except Exception:  # noqa: BLE001 - the refusal in question is raised instead
            return False
        return True
    return False


def _is_of_a_store(error: BaseException) -> bool:
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)


def _is_of_the_system(error: Any) -> bool:
    response = getattr(error, "response", None)
    code, status = getattr(error, "code", None), getattr(response, "status", None)
    if isinstance(response, dict):  # botocore
        code = response.get("Error", {}).get("Code")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if type(error).__module__.startswith("google."):
        return type(error).__module__.startswith("google.auth") or code == _UNAUTHORIZED
    return code in _OF_THE_SYSTEM or status == _UNAUTHORIZED


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    return chain
