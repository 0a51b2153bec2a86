"""Asks for counts and shares whose inputs have changed.

Belongs here: how often, and as what. Does not: which partitions
(``assets/reading/affinity/automation.py``).
"""

from __future__ import annotations

import dagster as dg

from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from jobs.reading_affinity import AFFINITY_TAGS

#: Seconds between two looks, which cost a few queries of Dagster's own records. The session tells
#: its changed days once a minute; a backfill waits up to half a minute for Dagster's daemon.
LOOK_SECONDS = 5

reading_affinity_automation = dg.AutomationConditionSensorDefinition(
    name="reading_affinity_automation",
    description="Counts the days anew that changed, then the shares of the dates that see them.",
    target=dg.AssetSelection.assets(COUNTS_KEY, SHARES_KEY),
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    # Several partitions of one look become one backfill: a run per range of days, not per day.
    emit_backfills=True,
    run_tags=AFFINITY_TAGS,
)
