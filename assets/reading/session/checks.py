"""Checks over the stream as a whole, not one session: they run by schedule.

Belongs here: what is checked, and what is said about it. Does not: the figures
(``message_balance.py``).
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from assets.frame.markdown import table
from assets.reading.kinds import CATEGORIES, EVENTS
from assets.reading.pipeline import USER_INTERACTION_KEY, asset_key
from assets.reading.routes import routes
from assets.reading.session import broker_flows
from assets.reading.session import message_balance as balance
from assets.reading.settings import ReadingSettings
from assets.reading.tables import INTERACTIONS_RAW, META, warehouse_of
from resources.bigquery import BigQueryResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.pubsub_counts import PubSubCountsResource

#: What an hourly audit looks back on; more than an hour, so that a late one leaves no gap.
SPAN = timedelta(hours=26)
#: Days looked through for doubled events at once: the ones that changed last.
MOST_DAYS = 400
#: Seconds that the oldest message in hand may be old, and a session may be silent.
MOST_LAG, MOST_SILENCE = 60.0, 15.0
#: A rejected message is on the dead-letter topic within seconds.
DEAD_LETTER_TIME = timedelta(minutes=5)

_PAGE = 500

RAW_KEY = asset_key(INTERACTIONS_RAW.name)
META_KEY = asset_key(META.name)

WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(
    asset=RAW_KEY,
    description="In every session: received = accepted + redelivered + rejected + released.",
)
def deliveries_balance(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Of the sessions of the last day that ended by their own account."""
    with postgres.connect() as conn:
        streams = balance.session_streams(conn, datetime.now(UTC) - SPAN)
    wrong = balance.unbalanced(streams)
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={
            "sessions": len({one.session_id for one in streams}),
            "received": sum(one.counts.received for one in streams),
            "redelivered": sum(one.counts.redelivered for one in streams),
            "unbalanced": len(wrong),
            **_sample(
                f"{one.session_id} {one.counts.subscription}: {one.counts.pending:+d}"
                for one in wrong
            ),
        },
    )


@dg.asset_check(
    asset=RAW_KEY,
    description="The raw tables hold as many distinct messages of each session as it accepted.",
)
def accepted_are_there(
    postgres: PostgresResource, bigquery: BigQueryResource, reading: ReadingSettings
) -> dg.AssetCheckResult:
    """Of the sessions of the last day; one that serves may have more there than it says yet."""
    with postgres.connect() as conn:
        streams = balance.session_streams(conn, datetime.now(UTC) - SPAN)
    lost, unexplained, in_raw = [], [], 0
    with bigquery.client() as client:
        warehouse = warehouse_of(client, reading.dataset)
        for route in routes(reading):
            own = [one for one in streams if one.counts.subscription == route.subscription]
            raw = balance.raw_messages(warehouse, route.kind, own)
            in_raw += sum(raw.values())
            lost += balance.missing(own, raw)
            unexplained += balance.unexplained(own, raw)
    wrong = [*lost, *unexplained]
    return dg.AssetCheckResult(
        passed=not wrong,
        metadata={
            "accepted": sum(one.counts.accepted for one in streams),
            "in_raw_tables": in_raw,
            "sessions_with_too_few": len(lost),
            "sessions_with_too_many": len(unexplained),
            **_sample(f"{one.session_id} {one.counts.subscription}" for one in wrong),
        },
    )


@dg.asset_check(
    asset=RAW_KEY,
    description="Of every topic: published = accepted + dead-lettered + still pending.",
)
def published_are_accounted_for(
    postgres: PostgresResource,
    bigquery: BigQueryResource,
    pubsub: PubSubResource,
    pubsub_counts: PubSubCountsResource,
    reading: ReadingSettings,
) -> dg.AssetCheckResult:
    """Where Pub/Sub has counts; elsewhere the answer is unknown, which is not good news."""
    with bigquery.client() as client, postgres.connect() as conn:
        flows = broker_flows.flows(
            conn, warehouse_of(client, reading.dataset), pubsub, pubsub_counts, reading
        )
    if flows is None:
        return dg.AssetCheckResult(
            passed=False,
            severity=WARN,
            description="Unknown: Pub/Sub has no counts of these topics here, so that nothing "
            "was verified. See PUBSUB_COUNTS_URL.",
            metadata={"verified": False},
        )
    return dg.AssetCheckResult(
        passed=not any(flow.lost or flow.invented for flow in flows),
        metadata={
            "verified": True,
            "published": sum(flow.published[0] for flow in flows),
            "pending": sum(flow.unacknowledged for flow in flows),
            "accepted": sum(flow.kept for flow in flows),
            "dead_lettered": sum(flow.rejected for flow in flows),
            "lost": sum(flow.lost for flow in flows),
            "never_published": sum(flow.invented for flow in flows),
        },
    )


@dg.asset_check(
    asset=USER_INTERACTION_KEY,
    description="No event is there twice, in the days that changed last.",
)
def one_row_per_event(
    context: dg.AssetCheckExecutionContext,
    postgres: PostgresResource,
    bigquery: BigQueryResource,
    reading: ReadingSettings,
) -> dg.AssetCheckResult:
    """Shows too how many duplicates the merges of the last day found, and kept out."""
    days = changed_days(context.instance, datetime.now(UTC) - SPAN)
    with bigquery.client() as client:
        found = balance.copies(warehouse_of(client, reading.dataset), EVENTS, days)
    with postgres.connect() as conn:
        streams = balance.session_streams(conn, datetime.now(UTC) - SPAN)
    own = [
        one.counts for one in streams if one.counts.subscription == reading.interaction_subscription
    ]
    return dg.AssetCheckResult(
        passed=not found.surplus,
        metadata={
            "events": found.distinct,
            "surplus_rows": found.surplus,
            "days_checked": len(days),
            "duplicates_kept_out": sum(counts.duplicates for counts in own),
            "redelivered": sum(counts.redelivered for counts in own),
        },
    )


@dg.asset_check(asset=META_KEY, description="No content has a category twice.")
def one_row_per_category(
    bigquery: BigQueryResource, reading: ReadingSettings
) -> dg.AssetCheckResult:
    """Reads the whole table, which is small beside the events."""
    with bigquery.client() as client:
        found = balance.copies(warehouse_of(client, reading.dataset), CATEGORIES)
    return dg.AssetCheckResult(
        passed=not found.surplus,
        metadata={"categories": found.distinct, "surplus_rows": found.surplus},
    )


@dg.asset_check(
    asset=RAW_KEY,
    description=f"A session serves, and its oldest message in hand is under {MOST_LAG:.0f} s old.",
)
def stream_keeps_up(postgres: PostgresResource, reading: ReadingSettings) -> dg.AssetCheckResult:
    """Where a session ingests the messages; a warning, for a backlog is no loss."""
    if reading.stream != "session":
        return dg.AssetCheckResult(
            passed=True, description=f"READING_STREAM is {reading.stream}: no session is wanted."
        )
    now = datetime.now(UTC)
    with postgres.connect() as conn:
        streams = balance.session_streams(conn, now - timedelta(seconds=MOST_SILENCE))
    serving = [one for one in streams if one.state in {"serving", "draining"}]
    lag = max((one.counts.lag or 0.0 for one in serving), default=0.0)
    return dg.AssetCheckResult(
        passed=bool(serving) and lag <= MOST_LAG,
        severity=WARN,
        description=None if serving else "No session has been heard of for a while.",
        metadata={
            "sessions": len({one.session_id for one in serving}),
            "lag_seconds": round(lag, 3),
            "pending": sum(one.counts.pending for one in serving),
        },
    )


@dg.asset_check(
    asset=RAW_KEY,
    description="Every message that was set aside is on its dead-letter topic.",
)
def rejects_are_dead_lettered(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Shows why messages were set aside in the last day."""
    now = datetime.now(UTC)
    with postgres.connect() as conn:
        left = balance.not_dead_lettered(conn, now - DEAD_LETTER_TIME)
        reasons = balance.rejected_by_reason(conn, now - SPAN)
    return dg.AssetCheckResult(
        passed=not left,
        metadata={
            "not_dead_lettered": len(left),
            "rejected": sum(reasons.values()),
            "reasons": dg.MetadataValue.md(table(("reason", "messages"), reasons.items())),
            **_sample(f"{subscription} {message_id}" for subscription, message_id in left),
        },
    )


def changed_days(instance: dg.DagsterInstance, since: datetime) -> list[date]:
    """The days of `user_interaction` reported since then, at most MOST_DAYS: the last ones."""
    filters = dg.AssetRecordsFilter(USER_INTERACTION_KEY, after_timestamp=since.timestamp())
    days: dict[str, None] = {}
    cursor: str | None = None
    while len(days) < MOST_DAYS:
        page = instance.fetch_materializations(filters, limit=_PAGE, cursor=cursor)
        days |= {one.partition_key: None for one in page.records if one.partition_key}
        if not page.has_more:
            break
        cursor = page.cursor
    return sorted(date.fromisoformat(day) for day in list(days)[:MOST_DAYS])


def _sample(lines: Iterable[str]) -> dict[str, Any]:
    shown = [line for line, _ in zip(lines, range(10), strict=False)]
    return {"sample": "; ".join(shown)} if shown else {}
