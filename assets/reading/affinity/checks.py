"""A standing check: nothing that changed was forgotten by what is computed from it.

Belongs here: comparing what was reported to Dagster with what it computed since. Does not: the
figures (``computation.py`` compares those whenever it replaces a partition). It hangs on
``user_interaction``, which no run computes: checks of the counts would run with every count.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from assets.reading.pipeline import USER_INTERACTION_KEY
from assets.reading.rules import WINDOW_DAYS

#: How long the automation may take: two looks, two backfills and, after a failure, the next try.
GRACE = timedelta(minutes=30)

_LISTED = 10


def stale_counts(reported: Mapping[str, int], counted: Mapping[str, int]) -> dict[str, int]:
    """Days that were reported as changed after they were last counted.

    Both map a day to the storage id of its latest event. With each day goes the id of its count, 0
    for none.
    """
    return {
        day: counted.get(day, 0) for day, event in reported.items() if event > counted.get(day, 0)
    }


def stale_shares(
    counted: Mapping[str, int], shared: Mapping[str, int], last: date
) -> dict[str, dict[str, int]]:
    """Per day, the query dates up to ``last`` that see it and were last made before its counts.

    With each date goes the storage id of its shares, 0 for none.
    """
    found: dict[str, dict[str, int]] = {}
    for day, event in counted.items():
        first = date.fromisoformat(day)
        dates = (first + timedelta(days=number) for number in range(WINDOW_DAYS + 1))
        seeing = {str(one): shared.get(str(one), 0) for one in dates if one <= last}
        if late := {one: made for one, made in seeing.items() if event > made}:
            found[day] = late
    return found


@dg.asset_check(
    asset=USER_INTERACTION_KEY,
    description="What changed more than half an hour ago is in the counts and shares.",
)
def changes_reach_the_answers(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Reads Dagster's own records only, over all days."""
    instance = context.instance
    now = datetime.now(UTC)
    reported, counted, shared = (
        instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        for key in (USER_INTERACTION_KEY, COUNTS_KEY, SHARES_KEY)
    )
    before = (now - GRACE).timestamp()
    days = _waiting(instance, USER_INTERACTION_KEY, stale_counts(reported, counted), before)
    late = stale_shares(counted, shared, now.date())
    made = {day: min(seeing.values()) for day, seeing in late.items()}
    dates = {one for day in _waiting(instance, COUNTS_KEY, made, before) for one in late[day]}
    return dg.AssetCheckResult(
        passed=not days and not dates,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "days_not_counted": len(days),
            "dates_not_shared": len(dates),
            "sample": ", ".join([*sorted(days)[:_LISTED], *sorted(dates)[:_LISTED]]),
        },
        description=(
            "Look at the last runs of `reading/daily_category_counts` and "
            "`reading/user_category_shares`, and at the ticks of `reading_affinity_automation`; "
            "then materialize the partitions."
            if days or dates
            else None
        ),
    )


def _waiting(
    instance: dg.DagsterInstance, key: dg.AssetKey, since: Mapping[str, int], before: float
) -> set[str]:
    """Those of the partitions with a materialization after the given storage id that is that old.

    The first one counts: a day that changes every minute waits since it was last counted.
    """
    found = set()
    for partition, storage_id in since.items():
        wanted = dg.AssetRecordsFilter(
            key, asset_partitions=[partition], after_storage_id=storage_id
        )
        records = instance.fetch_materializations(wanted, limit=1, ascending=True).records
        if records and records[0].timestamp < before:
            found.add(partition)
    return found
