"""What the reading pipeline is called, partitioned by and made of.

Belongs here: names that assets, jobs and sensors share. Does not: any behaviour.
"""

from __future__ import annotations

import dagster as dg

from assets.frame.reports import REJECTED_SHARE, ROWS_BALANCE
from assets.sinks.result import HOLDS_BATCH

PIPELINE = "reading"

#: One dynamic partition per landing batch of history files.
BATCHES = dg.DynamicPartitionsDefinition(name="reading_batches")

#: The first event date that is taken; earlier ones are rejected.
FIRST_DAY = "2000-01-01"

#: One partition per UTC day: of events, of what is counted of them, of the dates that are asked.
#: The end offset makes the current day a partition while it is still going on.
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone="UTC", end_offset=1)

#: Days before the query date that belong to an answer; the query date itself does, too.
WINDOW_DAYS = 14


def asset_key(name: str) -> dg.AssetKey:
    """The key of one of the pipeline's assets."""
    return dg.AssetKey([PIPELINE, name])


#: External assets, upstream of everything: the topics and the history's prefix on GCS.
INTERACTION_TOPIC_KEY = asset_key("user_interaction_topic")
META_TOPIC_KEY = asset_key("content_meta_topic")
LANDING_KEY = asset_key("gcs_landing")

#: Reported per day by the session and by history loads, materialized by no step of its own.
USER_INTERACTION_KEY = asset_key("user_interaction")

OWNERS = ["team:reading-data"]

#: Op tag by which the executor knows whose records a step decides or writes.
WRITER = {"quintet/writer": "reading_history"}

#: The history's writing assets, each of which must have taken a batch before it is loaded.
SINKS = ("interaction_history", "content_meta_history")

BATCH_CHECKS = {
    "history_rows": (ROWS_BALANCE, REJECTED_SHARE),
    **dict.fromkeys(SINKS, (HOLDS_BATCH,)),
}
