"""The reading pipeline, declared: a stream of messages and files of history to shares by category.

Belongs here: the declarations, names and days that its parts share, and what the code location
gets. Does not: the assets (``sources.py``, and ``assets.py`` of each part).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.declared import LandedFiles, Pipeline, Steps, batches
from assets.reading.reasons import MESSAGE_REASONS
from assets.reading.rules import FIRST_DAY
from assets.reading.settings import ReadingSettings
from assets.reading.tables import HISTORY_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import psycopg

    from assets.frame.alert_channels import Alert
    from landing.batch.validation import Rules

#: One partition per UTC day: of events, of what is counted of them, of the dates that are asked.
#: The end offset makes the current day a partition while it is still going on.
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)

_OWNERS = ("team:reading-data",)


def _rules() -> Rules:
    from assets.reading.history.validation import rules

    return rules()


HISTORY = LandedFiles(
    pipeline="reading",
    job="reading_history",
    writer="reading_history",
    owners=_OWNERS,
    partitions=batches("reading"),
    store="gcs",
    pattern=r".*\.(?i:csv(\.gz)?)",
    settings=ReadingSettings,
    landing="gcs_landing",
    kinds={"csv"},
    description="History of events and categories, CSV or CSV.GZ, under the prefix on GCS.",
    validation="history_rows",
    sinks=("interaction_history", "content_meta_history"),
    rules=_rules,
    facts=True,
    staged=HISTORY_ROWS.column_schema(),
    preview=("user_id", "content_id", "read_percent", "updated_at", "category_name", "line"),
    # The two sinks take turns in BigQuery: processes of their own would only cost their start.
    limits={"large_bytes": 2**63 - 1},
)

#: The stream is not partitioned, and merges take turns one by one: no run waits for another.
STREAM = Steps(pipeline="reading", owners=_OWNERS)

#: What is computed per day, and per query date.
ANSWERS = Steps(pipeline="reading", owners=_OWNERS, partitions=DAYS)

asset_key = STREAM.key

#: External assets, upstream of everything: the topics.
INTERACTION_TOPIC_KEY = asset_key("user_interaction_topic")
META_TOPIC_KEY = asset_key("content_meta_topic")

#: Reported per day by the session and by history loads, materialized by no step of its own.
USER_INTERACTION_KEY = asset_key("user_interaction")


def _definitions() -> dg.Definitions:
    from assets.reading import sources
    from assets.reading.affinity import assets as affinity
    from assets.reading.affinity import checks as affinity_checks
    from assets.reading.affinity.job import reading_affinity_automation, reading_affinity_job
    from assets.reading.history import assets as history
    from assets.reading.managed_ingestion import assets as managed
    from assets.reading.managed_ingestion.job import reading_dataflow_job, reading_dataflow_schedule
    from assets.reading.session import assets as session
    from assets.reading.session import checks as session_checks
    from assets.reading.session.job import reading_stream_job

    return dg.Definitions(
        assets=dg.load_assets_from_modules(
            [sources, session, history, affinity, managed], include_specs=True
        ),
        asset_checks=dg.load_asset_checks_from_modules([session_checks, affinity_checks]),
        jobs=[reading_stream_job, reading_affinity_job, reading_dataflow_job],
        # Where sessions ingest the messages, a schedule would only say so once a minute.
        schedules=[]
        if ReadingSettings.current().stream == "session"
        else [reading_dataflow_schedule],
        sensors=[reading_affinity_automation],
    )


def _troubles(connection: psycopg.Connection[Any], now: datetime, link: str) -> Iterator[Alert]:
    from assets.reading.session.troubles import troubles

    yield from troubles(connection, now, link)


PIPELINE = Pipeline(
    name="reading",
    settings=ReadingSettings,
    landed=(HISTORY,),
    definitions=_definitions,
    requires=("POSTGRES_URL", "GOOGLE_CLOUD_PROJECT"),
    servers=("postgres", "gcs", "bigquery", "pubsub"),
    reasons=MESSAGE_REASONS,
    audit_minute=50,
    troubles=_troubles,
)
