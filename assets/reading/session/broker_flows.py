"""The messages of each topic: what Pub/Sub says of them beside what became of them.

Belongs here: counting both sides in the right order. Does not: either side's statements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assets.reading.routes import routes
from assets.reading.session import message_balance as balance
from assets.reading.session.message_balance import Flow

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
    """One flow per topic; None where Pub/Sub has no counts of it, or ingestion is managed.

    A topic's messages count from its first on: its subscription must be as old. What is
    acknowledged when Pub/Sub is asked first is in a table by then: so it is asked, then the tables,
    then Pub/Sub again for what came meanwhile.
    """
    both = routes(reading)
    named = [
        (pubsub.topic_path(route.topic), pubsub.subscription_path(route.subscription))
        for route in both
    ]
    before = counts.read() if reading.stream == "session" else None
    if before is None or any(
        topic not in before.published or subscription not in before.unacknowledged
        for topic, subscription in named
    ):
        return None
    kept = [balance.all_raw_messages(warehouse, route.kind) for route in both]
    aside = [balance.rejected(conn, route.subscription) for route in both]
    after = counts.read() or before
    return [
        Flow(
            (before.published[topic], after.published[topic]),
            before.unacknowledged[subscription],
            kept=messages,
            rejected=rejected,
        )
        for (topic, subscription), messages, rejected in zip(named, kept, aside, strict=True)
    ]
