"""The messages of each topic: what Pub/Sub says of them beside what became of them.

Belongs here: counting both sides in the right order. Does not: either side's statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.reading.session import message_balance as balance
from assets.reading.session.message_balance import Flow
from assets.reading.tables import INTERACTIONS_RAW, META_RAW

if TYPE_CHECKING:
    import psycopg

    from assets.reading.settings import ReadingSettings
    from assets.sinks.bigquery import Warehouse
    from resources.pubsub import PubSubResource
    from resources.pubsub_counts import PubSubCountsResource


def flows(
    conn: psycopg.Connection[Any],
    warehouse: Warehouse,
    pubsub: PubSubResource,
    counts: PubSubCountsResource,
    reading: ReadingSettings,
) -> list[Flow] | None:
    """One flow per topic; None where Pub/Sub has no counts of it, or Google carries the messages.

    A topic's messages count from its first on: its subscription must be as old. What is
    acknowledged when Pub/Sub is asked first is in a table by then: so it is asked, then the tables,
    then Pub/Sub again for what came meanwhile.
    """
    named = [
        (pubsub.topic_path(topic), pubsub.subscription_path(subscription), subscription, table)
        for topic, subscription, table in (
            (reading.interaction_topic, reading.interaction_subscription, INTERACTIONS_RAW),
            (reading.meta_topic, reading.meta_subscription, META_RAW),
        )
    ]
    before = counts.read() if reading.stream == "session" else None
    if before is None or any(
        topic not in before.published or subscription not in before.unacknowledged
        for topic, subscription, _, _ in named
    ):
        return None
    kept = [balance.all_raw_messages(warehouse, table) for *_, table in named]
    aside = [balance.rejected(conn, subscription) for *_, subscription, _ in named]
    after = counts.read() or before
    return [
        Flow(
            (before.published[topic], after.published[topic]),
            before.unacknowledged[subscription],
            kept=messages,
            rejected=rejected,
        )
        for (topic, subscription, _, _), messages, rejected in zip(named, kept, aside, strict=True)
    ]
