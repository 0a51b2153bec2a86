"""The job of reading's answers, counts of days and shares of query dates, and what asks for it.

Belongs here: selection and tags, how often to look. Does not: which partitions have changed
(``automation.py``).

A range of dates from the command line is one run, without a daemon:

    dagster asset materialize -m definitions \
        --select "key:reading/daily_category_counts,key:reading/user_category_shares" \
        --partition-range 2022-03-01...2022-03-23

``dagster job backfill --job reading_affinity --from … --to …`` queues a run per date instead. Those
run in any order, so a date's shares may miss days that are counted after it: the automation sees
each count and asks for the dates that see it once more.
"""

from __future__ import annotations

import dagster as dg

from assets.frame.execution import WRITER_TAG
from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from assets.reading.affinity.range_runs import RangeRunsSensor

#: Seconds between two looks, which cost a few queries of Dagster's own records. The session reports
#: its changed days once a minute.
LOOK_SECONDS = 9

#: Also on the runs that the automation asks for: one at a time, however many days are scattered
#: over the years, and behind the batches that wait.
AFFINITY_TAGS = {
    WRITER_TAG: "reading_affinity",
    "dagster/max_runtime": "3600",
    "dagster/priority": "-1",
}

reading_affinity_job = dg.define_asset_job(
    name="reading_affinity",
    description="Counts days of reading events anew, then the shares of the same query dates.",
    selection=dg.AssetSelection.assets(COUNTS_KEY, SHARES_KEY),
    tags=AFFINITY_TAGS,
)

reading_affinity_automation = RangeRunsSensor(
    name="reading_affinity_automation",
    description="Counts the days anew that changed, then the shares of the dates that see them.",
    target=dg.AssetSelection.assets(COUNTS_KEY, SHARES_KEY),
    minimum_interval_seconds=LOOK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    run_tags=AFFINITY_TAGS,
    use_user_code_server=True,
)
