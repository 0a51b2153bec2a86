"""The job of the streaming session.

Belongs here: selection, tags and config. Does not: when a session is asked for
(``sensors/session.py``).
"""

from __future__ import annotations

import dagster as dg

from assets.frame.execution import in_process
from assets.reading.session.assets import META_KEY, RAW_KEY

#: Tag of a run that is a streaming session; the queue lets one at a time run per value.
SESSION_TAG = "quintet/session"

# No retry by Dagster: the sensor asks for the next session, whatever ended the last one. No writer
# lock: it would keep history out for as long as a session lasts, and merges are fenced one by one.
reading_stream_job = dg.define_asset_job(
    name="reading_stream",
    description="The streaming session: Pub/Sub to BigQuery until its time is up.",
    selection=dg.AssetSelection.assets(RAW_KEY, META_KEY).without_checks(),
    config=in_process(),
    tags={SESSION_TAG: "reading", "dagster/max_retries": "0"},
)
