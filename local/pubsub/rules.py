"""What Pub/Sub takes and what it refuses.

Belongs here: limits and defaults of requests, as Google documents them
(cloud.google.com/pubsub/quotas, the reference of google.pubsub.v1). Does not: what a request does.

What this server cannot do it refuses instead of ignoring it.
"""

from __future__ import annotations

import re
from typing import Any

import grpc

_NAME = re.compile(
    r"projects/[a-z][a-z0-9-]*/(topics|subscriptions)/(?!goog)[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
)
_DAY = 24 * 3600
#: Seconds.
ACK_DEADLINE = range(10, 601)
_RETENTION = range(600, 31 * _DAY + 1)
_DEFAULT_RETENTION = 7 * _DAY
_BACKOFF = (10, 600)
_ATTEMPTS = range(5, 101)
_MESSAGES_PER_PUBLISH = 1_000
_BYTES_PER_PUBLISH = 10_000_000
_BYTES_OF_ACK_IDS = 524_288
_NOT_SERVED = (
    "push_config",
    "bigquery_config",
    "cloud_storage_config",
    "bigtable_config",
    "filter",
    "enable_exactly_once_delivery",
    "retain_acked_messages",
    "message_transforms",
)


class Refused(Exception):
    """A call that fails with ``code``; the message is for the caller."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def exists(cls, name: str) -> Refused:
        """There is one of that name."""
        text = f"Resource already exists in the project (resource={_short(name)})."
        return cls(grpc.StatusCode.ALREADY_EXISTS, text)

    @classmethod
    def not_found(cls, name: str) -> Refused:
        """There is none of that name."""
        return cls(grpc.StatusCode.NOT_FOUND, f"Resource not found (resource={_short(name)}).")

    @classmethod
    def invalid(cls, text: str) -> Refused:
        """It cannot be done as it is asked."""
        return cls(grpc.StatusCode.INVALID_ARGUMENT, text)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _check_name(name: str, kind: str) -> None:
    found = _NAME.fullmatch(name)
    if not found or found[1] != kind:
        raise Refused.invalid(f"Invalid resource name given (name={name}).")


def check_topic(topic: Any) -> None:
    """Raises Refused."""
    _check_name(topic.name, "topics")
    for name in ("schema_settings", "ingestion_data_source_settings"):
        if topic.HasField(name):
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"this server has no {name}")


def completed(declared: Any) -> Any:
    """A subscription with its defaults. Raises Refused when it may not be so."""
    result = type(declared)()
    result.CopyFrom(declared)
    _check_name(result.name, "subscriptions")
    for name in _NOT_SERVED:
        # An empty push_config means pull.
        if getattr(result, name) not in (None, False, "") and _is_set(result, name):
            raise Refused(grpc.StatusCode.UNIMPLEMENTED, f"this server has no {name}")
    result.ack_deadline_seconds = result.ack_deadline_seconds or ACK_DEADLINE[0]
    check_deadline(result.ack_deadline_seconds)
    if not result.HasField("message_retention_duration"):
        result.message_retention_duration.FromSeconds(_DEFAULT_RETENTION)
    _check_within(
        "message_retention_duration", result.message_retention_duration.ToSeconds(), _RETENTION
    )
    if result.HasField("dead_letter_policy"):
        policy = result.dead_letter_policy
        policy.max_delivery_attempts = policy.max_delivery_attempts or _ATTEMPTS[0]
        _check_name(policy.dead_letter_topic, "topics")
        _check_within("max_delivery_attempts", policy.max_delivery_attempts, _ATTEMPTS)
    if result.HasField("retry_policy"):
        _complete_retries(result.retry_policy)
    return result


def _is_set(message: Any, name: str) -> bool:
    value = getattr(message, name)
    if hasattr(value, "ByteSize"):
        return bool(value.ByteSize())
    return bool(value)


def _complete_retries(policy: Any) -> None:
    for name, default in zip(("minimum_backoff", "maximum_backoff"), _BACKOFF, strict=True):
        if not policy.HasField(name):
            getattr(policy, name).FromSeconds(default)
        _check_within(name, getattr(policy, name).ToSeconds(), range(_BACKOFF[1] + 1))


def _check_within(name: str, value: int, allowed: range) -> None:
    if value not in allowed:
        limits = f"{allowed[0]} to {allowed[-1]}"
        raise Refused.invalid(f"Invalid {name} given: {value}; it must be {limits}.")


def check_deadline(seconds: int) -> None:
    """Raises Refused: not 10 to 600 seconds."""
    _check_within("ack deadline", seconds, ACK_DEADLINE)


def check_extension(seconds: int) -> None:
    """Raises Refused: not 0 to 600 seconds."""
    _check_within("ack deadline", seconds, range(ACK_DEADLINE[-1] + 1))


def check_ack_ids(request: Any) -> None:
    """Raises Refused: none, or too many bytes of them."""
    if not request.ack_ids:
        raise Refused.invalid("No ack ids specified.")
    if request.ByteSize() > _BYTES_OF_ACK_IDS:
        raise Refused.invalid(f"Request payload size exceeds the limit: {_BYTES_OF_ACK_IDS} bytes.")


def check_publish(request: Any) -> None:
    """Raises Refused: no messages, too many, too large, or an empty one."""
    if not 0 < len(request.messages) <= _MESSAGES_PER_PUBLISH:
        raise Refused.invalid(
            f"The value for message_count is {len(request.messages)}; it must be 1 to "
            f"{_MESSAGES_PER_PUBLISH}."
        )
    if request.ByteSize() > _BYTES_PER_PUBLISH:
        raise Refused.invalid(
            f"Request payload size exceeds the limit: {_BYTES_PER_PUBLISH} bytes."
        )
    for message in request.messages:
        if not message.data and not message.attributes:
            raise Refused.invalid("Some messages have neither data nor attributes.")


def merged(present: Any, changed: Any, mask: Any, *, fixed: set[str]) -> Any:
    """A copy of ``present`` with the fields of ``mask`` as in ``changed``. Raises Refused."""
    if not mask.paths:
        raise Refused.invalid("The update_mask in the update request must be set and non-empty.")
    known = {field.name for field in present.DESCRIPTOR.fields}
    for path in mask.paths:
        if path.partition(".")[0] not in known or path in fixed:
            raise Refused.invalid(f"Invalid update_mask given: {path}.")
    result = type(present)()
    result.CopyFrom(present)
    mask.MergeMessage(changed, result, True, True)
    return result
