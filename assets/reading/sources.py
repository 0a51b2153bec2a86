"""What reading is made from, and the table that more than one thing writes: external assets.

Belongs here: their specs, as Dagster shows them. Does not: the prefix on GCS (the history's).
"""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from assets.reading.pipeline import (
    DAYS,
    INTERACTION_TOPIC_KEY,
    META_TOPIC_KEY,
    STREAM,
    USER_INTERACTION_KEY,
    asset_key,
)
from assets.reading.tables import INTERACTIONS

#: Readers read at any hour: a quarter of an hour without any event is odd, two hours are a fault.
ARRIVAL = dg.FreshnessPolicy.time_window(
    fail_window=timedelta(hours=2), warn_window=timedelta(minutes=15)
)


user_interaction_topic = dg.AssetSpec(
    key=INTERACTION_TOPIC_KEY,
    group_name="reading_stream",
    owners=list(STREAM.owners),
    kinds={"pubsub", "json"},
    description="Topic of reading events: `user_id`, `content_id`, `read_percent`, `updated_at`. "
    "Messages that cannot be events go on to its dead-letter topic, with the reason.",
)

content_meta_topic = dg.AssetSpec(
    key=META_TOPIC_KEY,
    group_name="reading_stream",
    owners=list(STREAM.owners),
    kinds={"pubsub", "json"},
    description="Topic of categories of contents: `content_id`, `category_name`. They may come "
    "long after the events of their contents, and repeatedly.",
)

user_interaction = dg.AssetSpec(
    key=USER_INTERACTION_KEY,
    # Any message and any file may hold events of any day.
    deps=[
        dg.AssetDep(asset_key("user_interaction_raw")),
        dg.AssetDep(asset_key("landed_messages")),
        dg.AssetDep(asset_key("interaction_history"), partition_mapping=dg.AllPartitionMapping()),
    ],
    partitions_def=DAYS,
    group_name="reading_stream",
    owners=list(STREAM.owners),
    kinds={"bigquery"},
    description=f"{INTERACTIONS.description} A day is reported here within about a minute "
    "after it gained events, or contents of its events gained categories.",
    metadata={"dagster/column_schema": INTERACTIONS.column_schema()},
    freshness_policy=ARRIVAL,
)
