"""Messages that come in over the service: judged by the stream's own rules, then published.

Belongs here: from the bytes of a request to messages of a topic. Does not: the rules
(``stream/messages.py``), what a session makes of the messages.

A message goes out as the bytes that came in, without attributes or an ordering key, as those of
every producer do: an event is its four values, whoever sent it and in whichever order. So one that
is published twice, by a client that was told nothing, counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal

from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.rules import JSON_TYPES, Reason

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

    from assets.reading.kinds import Kind

#: Messages of one request to the service.
MOST_MESSAGES = 1_000
#: Told of what is wrong: so many messages.
MOST_DEFECTS = 100
#: Seconds of one request to Pub/Sub, which is tried once: whoever sent the messages tries again.
TIMEOUT = 5.0
#: Messages and bytes of one request; Pub/Sub takes 1,000 and 10 MB.
_AT_ONCE = 500
_BYTES = 4_000_000

Posted = Literal["interactions", "contents"]
_KINDS: dict[Posted, Kind] = {"interactions": EVENTS, "contents": CATEGORIES}
_SCHEMA_TYPES = {int: "integer", float: "number", str: "string"}
#: Of the reader's words about JSON as such, which name no field.
_OF_NO_FIELD: frozenset[Reason] = frozenset({"not_json", "not_an_object"})


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with a message: its place among those that were sent, and the field if any."""

    index: int
    field: str | None
    reason: str
    detail: str

    def told(self) -> dict[str, Any]:
        """As a part of an error."""
        return asdict(self)


class BadMessagesError(Exception):
    """Messages that cannot be taken, so that none is published; ``more`` have defects beside."""

    def __init__(self, defects: Sequence[Defect], more: int = 0) -> None:
        named = [f"{one.index}: {one.reason}: {one.detail}" for one in defects]
        super().__init__("; ".join([*named, *([f"and {more:,} more"] if more else [])]))
        self.defects = tuple(defects)


def checked(posted: Posted, body: bytes, now: datetime, zone: tzinfo) -> list[bytes]:
    """The messages of a body, a JSON object or a list of them, each as it stands there.

    Times without an offset are of the ``zone``. Raises BadMessagesError.
    """
    from assets.reading.rules import Rejection
    from assets.reading.stream.messages import parse

    messages = _messages(body)
    kind, defects = _KINDS[posted], list[Defect]()
    for index, message in enumerate(messages):
        said = parse(kind, message, now, zone)
        if isinstance(said, Rejection):
            field = None if said.reason in _OF_NO_FIELD else _field(kind, said.detail)
            defects.append(Defect(index, field, said.reason, said.detail))
    if defects:
        raise BadMessagesError(defects[:MOST_DEFECTS], more=len(defects[MOST_DEFECTS:]))
    return messages


def publish(
    publisher: PublisherClient,
    topic: str,
    messages: Sequence[bytes],
    taken: Callable[[Sequence[str]], object],
) -> None:
    """Publish in order; ``taken`` is told the ids of each part that Pub/Sub has taken.

    ``topic`` is the full name. Raises google.api_core.exceptions errors, behind a part of them.
    """
    # The generated client's method: one request for many messages, answered when it returns.
    from google.pubsub_v1 import PublisherClient as Generated
    from google.pubsub_v1.types import PubsubMessage

    from assets.reading.stream.requests import in_requests

    for part in in_requests(messages, len, most_bytes=_BYTES, most_items=_AT_ONCE):
        sent = [PubsubMessage(data=message) for message in part]
        answer = Generated.publish(
            publisher, topic=topic, messages=sent, retry=None, timeout=TIMEOUT
        )
        taken(answer.message_ids)


def message_schema(posted: Posted) -> dict[str, Any]:
    """What a body holds, as a JSON Schema."""
    fields = {
        field.name: {
            "type": _SCHEMA_TYPES[JSON_TYPES[field.type]],
            **({"format": "int64"} if field.type == "bigint" else {}),
        }
        for field in _KINDS[posted].fields
    }
    one = {"type": "object", "properties": fields, "required": list(fields)}
    return {"oneOf": [one, {"type": "array", "items": one, "maxItems": MOST_MESSAGES}]}


def _messages(body: bytes) -> list[bytes]:
    import msgspec

    if not body.lstrip(b" \t\r\n").startswith(b"["):
        return [body]
    try:
        found = msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise BadMessagesError([Defect(0, None, "not_json", f"{error}"[:200])]) from error
    if not 1 <= len(found) <= MOST_MESSAGES:
        said = f"a list of {len(found):,} messages: 1 to {MOST_MESSAGES:,} are taken at once"
        raise BadMessagesError([Defect(0, None, "out_of_range", said)])
    return [bytes(one) for one in found]


def _field(kind: Kind, detail: str) -> str | None:
    """The field that comes first in what is said: behind it may be words of the message."""
    named = [name for name in kind.names if name in detail]
    return min(named, key=detail.index, default=None)
