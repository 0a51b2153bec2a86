"""The jobs of reading's answers: counts of days, shares of query dates, and an hourly audit.

Belongs here: selection and tags. Does not: when partitions are computed anew
(``sensors/reading_affinity.py``).

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

from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from assets.reading.affinity.checks import changes_reach_the_answers
from jobs.executor import WRITER_TAG, guarded_executor

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
    executor_def=guarded_executor,
    tags=AFFINITY_TAGS,
)

reading_affinity_audit_job = dg.define_asset_job(
    name="reading_affinity_audit",
    description="Checks that what changed has reached the counts and shares.",
    selection=dg.AssetSelection.checks(changes_reach_the_answers),
    executor_def=guarded_executor,
)

reading_affinity_audit_schedule = dg.ScheduleDefinition(
    name="reading_affinity_audit_hourly",
    job=reading_affinity_audit_job,
    cron_schedule="35 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
