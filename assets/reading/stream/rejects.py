"""Messages that cannot become rows: kept in Postgres, then passed on to the dead-letter topic.

Belongs here: both, in that order, each message once. Does not: why a message is rejected
(``messages.py``, ``writing.py``), acknowledging it, which comes after.

A session that dies in between leaves the row without the dead letter's id: the message comes again,
and only what is missing is done. A dead letter can come twice, when the session dies between the
publication and the row's update; its attribute ``message_id`` tells. Where the topic is missing or
forbidden the stream goes on, for Postgres has the message; it is passed on once the topic is there.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.reading.reasons import MESSAGE_REASONS
from assets.reading.rules import Rejection
from assets.reading.stream.micro_batch import Delivery
from assets.reading.stream.requests import in_requests
from landing.batch.failures import classify
from landing.batch.reasons import warn_of_unknown
from resources.pubsub import few_attempts

if TYPE_CHECKING:
    import psycopg
    from google.cloud.pubsub_v1 import PublisherClient
    from google.pubsub_v1.types import PubsubMessage

#: Seconds of one request to the dead-letter topic.
PUBLISH_TIMEOUT = 20.0
#: Messages and bytes of one request; Pub/Sub takes 1,000 and 10 MB.
_PUBLISH_MESSAGES = 500
_PUBLISH_BYTES = 4_000_000
#: Bytes of a message's data that are passed on: with attributes it must fit into one request.
_DATA_BYTES = 9_000_000
#: Pub/Sub takes 100 attributes with values of 1,024 bytes; ours are among them.
_ATTRIBUTES = 90
_DETAIL_CHARACTERS = 250
#: Rejected messages of earlier that are passed on beside new ones.
_LEFT_OVER = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message, why it is rejected, and how often it was tried."""

    delivery: Delivery
    rejection: Rejection
    attempts: int = 1


#: What another session may be about to pass on is left to it.
_NOT_PASSED_ON = """
SELECT message_id, publish_time, ordering_key, attributes, data, reason, detail,
    attempts
FROM reading.rejected_message
WHERE subscription = %s AND dead_letter_id IS NULL
    AND rejected_at < clock_timestamp() - interval '1 minute'
ORDER BY rejected_at LIMIT %s
"""


def store(
    conn: psycopg.Connection[Any],
    subscription: str,
    session_id: str,
    rejected: Sequence[Rejected],
) -> set[str]:
    """Keep the messages as they came; the ids of those that no dead letter is known of yet.

    ``subscription`` is the short name. Raises psycopg.Error.
    """
    known = [reason.code for reason in MESSAGE_REASONS]
    warn_of_unknown({one.rejection.reason for one in rejected}, known)
    with conn.transaction(), conn.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO reading.rejected_message (
                subscription, message_id, publish_time, ordering_key, attributes, data, reason,
                detail, attempts, session_id)
            VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (subscription, message_id) DO NOTHING
            """,
            [
                (
                    subscription,
                    one.delivery.message_id,
                    one.delivery.publish_time,
                    _storable(one.delivery.ordering_key),
                    json.dumps(
                        {
                            _storable(name): _storable(value)
                            for name, value in one.delivery.attributes.items()
                        }
                    ),
                    one.delivery.data,
                    one.rejection.reason,
                    _storable(one.rejection.detail),
                    one.attempts,
                    session_id,
                )
                for one in rejected
            ],
        )
        cursor.execute(
            """
            SELECT message_id FROM reading.rejected_message
            WHERE subscription = %s AND message_id = ANY(%s) AND dead_letter_id IS NULL
            """,
            (subscription, [one.delivery.message_id for one in rejected]),
        )
        return {message_id for (message_id,) in cursor.fetchall()}


def pass_on(
    publisher: PublisherClient, topic: str, subscription: str, rejected: Iterable[Rejected]
) -> Iterator[dict[str, str]]:
    """Publish the messages to the dead-letter topic; after each request the ids they got there.

    ``topic`` is the full name. Raises google.api_core.exceptions errors.
    """
    # The generated client's method: one request for many messages, whatever their attributes are
    # called, answered when it returns.
    from google.pubsub_v1 import PublisherClient as Generated

    parts = in_requests(
        rejected,
        lambda one: one.delivery.size,
        most_bytes=_PUBLISH_BYTES,
        most_items=_PUBLISH_MESSAGES,
    )
    for part in parts:
        response = Generated.publish(
            publisher,
            topic=topic,
            messages=[_letter(one, subscription) for one in part],
            retry=few_attempts(),
            timeout=PUBLISH_TIMEOUT,
        )
        ids = (one.delivery.message_id for one in part)
        yield dict(zip(ids, response.message_ids, strict=True))


def mark(conn: psycopg.Connection[Any], subscription: str, letters: Mapping[str, str]) -> None:
    """Note the ids of the dead letters beside the messages. Raises psycopg.Error."""
    conn.execute(
        """
        UPDATE reading.rejected_message AS r SET dead_letter_id = passed.letter
        FROM unnest(%s::text[], %s::text[]) AS passed (message_id, letter)
        WHERE r.subscription = %s AND r.message_id = passed.message_id
        """,
        (list(letters), list(letters.values()), subscription),
    )


def reject(
    conn: psycopg.Connection[Any],
    publisher: PublisherClient,
    rejected: Sequence[Rejected],
    *,
    topic: str,
    subscription: str,
    session_id: str,
) -> None:
    """Store, pass on, mark: may be repeated as a whole after an error, or by another session.

    A topic that takes nothing for good costs nothing but the dead letters, which are sent with
    those of a later call.
    """
    missing = store(conn, subscription, session_id, rejected)
    waiting = [one for one in rejected if one.delivery.message_id in missing]
    try:
        for letters in pass_on(publisher, topic, subscription, waiting):
            mark(conn, subscription, letters)
        pass_on_left_over(conn, publisher, topic=topic, subscription=subscription)
    except Exception as error:
        if classify(error) != "permanent":
            raise
        log.error("not_passed_on topic=%s messages=%d error=%s", topic, len(waiting), error)  # noqa: TRY400


def pass_on_left_over(
    conn: psycopg.Connection[Any], publisher: PublisherClient, *, topic: str, subscription: str
) -> int:
    """Pass on some messages that were kept and never got to the topic; how many."""
    rows = conn.execute(_NOT_PASSED_ON, (subscription, _LEFT_OVER)).fetchall()
    left = [Rejected(_Kept(*row[:5]), Rejection(row[5], row[6]), row[7]) for row in rows]
    for letters in pass_on(publisher, topic, subscription, left):
        mark(conn, subscription, letters)
    return len(left)


@dataclass(frozen=True, slots=True)
class _Kept:
    """What Postgres has of a delivery."""

    message_id: str
    publish_time: datetime
    ordering_key: str
    attributes: Mapping[str, str]
    data: bytes
    ack_id: str = ""

    @property
    def size(self) -> int:
        """Bytes of the message, about."""
        return len(self.data) + sum(map(len, self.attributes.values()))

    def drop(self) -> None:
        """It has no lease."""

    def nack(self) -> None:
        """It has no lease."""


def _letter(one: Rejected, subscription: str) -> PubsubMessage:
    from google.pubsub_v1.types import PubsubMessage

    ours = {
        "reason": one.rejection.reason,
        "detail": one.rejection.detail[:_DETAIL_CHARACTERS],
        "subscription": subscription,
        "message_id": one.delivery.message_id,
        "publish_time": one.delivery.publish_time.isoformat(),
        "attempts": str(one.attempts),
    }
    data = one.delivery.data
    if len(data) > _DATA_BYTES:
        ours["bytes"] = str(len(data))
    theirs = dict(list(one.delivery.attributes.items())[:_ATTRIBUTES])
    return PubsubMessage(data=data[:_DATA_BYTES], attributes={**theirs, **ours})


def _storable(text: str) -> str:
    """Postgres keeps no zero character and no half of a surrogate pair in a text."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
