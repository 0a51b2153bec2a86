"""Rejected messages of reading: listed, shown, and published to their topic again.

Belongs here: what an operator sees and does of ``reading.rejected_message``. Does not: why a
message was rejected, the dead-letter topic (``assets/reading/stream``).

A message that is published again has another id; what today's rules reject again is another row.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from assets.reading.reasons import MESSAGE_REASONS
from ops.terminal import counted, printable
from resources.pubsub import TIMEOUT, PubSubResource

if TYPE_CHECKING:
    import psycopg
    from google.cloud.pubsub_v1 import PublisherClient

    from resources.postgres import PostgresResource

#: The variables that name a subscription, and the topic it belongs to.
_TOPICS = {
    "READING_INTERACTION_SUBSCRIPTION": "READING_INTERACTION_TOPIC",
    "READING_META_SUBSCRIPTION": "READING_META_TOPIC",
}
#: Messages that are fetched and marked together.
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class RejectedMessages:
    """Those of one subscription, counted by reason."""

    subscription: str
    reasons: Mapping[str, int]
    replayed: int
    last_at: datetime

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.reasons.values())


def configured(env: Mapping[str, str]) -> set[str]:
    """The subscriptions that the variables name."""
    return {env[name] for name in _TOPICS if env.get(name)}


def by_subscription(postgres: PostgresResource) -> list[RejectedMessages]:
    """Per subscription, what was rejected. Raises psycopg.Error."""
    with postgres.connect() as conn:
        rows = conn.execute(
            """
            SELECT subscription, reason, count(*), count(replayed_at), max(rejected_at)
            FROM reading.rejected_message GROUP BY subscription, reason
            ORDER BY subscription, reason
            """
        ).fetchall()
    found = []
    for name in sorted({row[0] for row in rows}):
        own = [row for row in rows if row[0] == name]
        found.append(
            RejectedMessages(
                name,
                {reason: count for _, reason, count, _, _ in own},
                replayed=sum(row[3] for row in own),
                last_at=max(row[4] for row in own),
            )
        )
    return found


def show(postgres: PostgresResource, subscription: str, limit: int) -> int:
    """Print the last ``limit`` messages that were rejected."""
    from ops.rejects import legend

    with postgres.connect() as conn:
        rows = conn.execute(
            """
            SELECT message_id, publish_time, reason, detail, attempts, data, replayed_at
            FROM reading.rejected_message WHERE subscription = %s
            ORDER BY rejected_at DESC, message_id LIMIT %s
            """,
            (subscription, limit),
        ).fetchall()
    for message_id, published, reason, detail, attempts, data, replayed in rows:
        text = printable(bytes(data[:160]).decode("utf-8", "backslashreplace"))
        again = f", replayed {replayed:%F %R}" if replayed else ""
        print(f"{message_id}  {published:%F %T}  {reason}  ({printable(detail)}), "
              f"attempt {attempts}{again}\n    {text}")  # fmt: skip
    told = dict.fromkeys(reason for _, _, reason, *_ in rows)
    print(legend(told, {reason.code: reason for reason in MESSAGE_REASONS}))
    print(f"\n`make quarantine BATCH={subscription} REPLAY=1` publishes all to their topic again.")
    return 0


def replay(postgres: PostgresResource, subscription: str, env: Mapping[str, str]) -> int:
    """Publish what was not replayed yet to the subscription's topic; 0 when all was published.

    Each part is marked after it was published: what was in flight when this was stopped is
    published twice, which doubles no row.
    """
    topics = {env.get(name): env.get(topic) for name, topic in _TOPICS.items()}
    topic = topics.get(subscription)
    if not topic:
        print(f"No topic is configured for {subscription}.", file=sys.stderr)
        return 1
    pubsub = PubSubResource(
        project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env.get("PUBSUB_EMULATOR_HOST", "")
    )
    done = 0
    with postgres.connect(autocommit=True) as conn, pubsub.publisher() as publisher:
        while rows := _waiting(conn, subscription):
            _publish(publisher, pubsub.topic_path(topic), rows)
            _mark(conn, subscription, [message_id for message_id, *_ in rows])
            done += len(rows)
    if not done:
        print(f"Every rejected message of {subscription} was replayed before.", file=sys.stderr)
        return 1
    print(f"{counted(done, 'message', 'messages')} published to {topic} again.")
    return 0


def _publish(publisher: PublisherClient, topic: str, rows: list[tuple[Any, ...]]) -> None:
    # The generated client's method: it takes attributes whatever they are called.
    from google.pubsub_v1 import PublisherClient as Generated
    from google.pubsub_v1.types import PubsubMessage

    for _, data, attributes, ordering_key in rows:
        message = PubsubMessage(data=bytes(data), attributes=attributes, ordering_key=ordering_key)
        Generated.publish(publisher, topic=topic, messages=[message], timeout=TIMEOUT)


def _waiting(conn: psycopg.Connection[Any], subscription: str) -> list[tuple[Any, ...]]:
    return conn.execute(
        """
        SELECT message_id, data, attributes, ordering_key FROM reading.rejected_message
        WHERE subscription = %s AND replayed_at IS NULL ORDER BY rejected_at, message_id LIMIT %s
        """,
        (subscription, _AT_ONCE),
    ).fetchall()


def _mark(conn: psycopg.Connection[Any], subscription: str, message_ids: list[str]) -> None:
    conn.execute(
        """
        UPDATE reading.rejected_message SET replayed_at = now()
        WHERE subscription = %s AND message_id = ANY(%s)
        """,
        (subscription, message_ids),
    )
