"""What the campaigns pipeline is called, partitioned by and made of.

Belongs here: names that assets, job and sensor share. Does not: any behaviour.
"""

from __future__ import annotations

import dagster as dg

from assets.frame.reports import REJECTED_SHARE, ROWS_BALANCE
from assets.sinks.result import HOLDS_BATCH

PIPELINE = "campaigns"

#: One dynamic partition per landing batch.
BATCHES = dg.DynamicPartitionsDefinition(name="campaigns_batches")


def asset_key(name: str) -> dg.AssetKey:
    """The key of one of the pipeline's assets."""
    return dg.AssetKey([PIPELINE, name])


#: The external asset that the GCS prefix is, upstream of everything.
LANDING_KEY = asset_key("gcs_landing")

OWNERS = ["team:marketing-data"]

#: Op tag by which the executor knows whose records a step decides or writes.
WRITER = {"quintet/writer": PIPELINE}

#: The writing assets, each of which must have taken a batch before it is loaded.
SINKS = (
    "raw_messages",
    "message_embeddings",
    "user_profiles",
    "engagement_graph",
    "engagement_analytics",
)

#: The checks that a batch's assets make themselves: a retry of some assets runs theirs, and not the
#: audits of whole stores.
BATCH_CHECKS = {
    "events": (ROWS_BALANCE, REJECTED_SHARE),
    **dict.fromkeys(SINKS, (HOLDS_BATCH,)),
}
