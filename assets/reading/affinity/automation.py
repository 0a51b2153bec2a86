"""When counts and shares are computed anew: what has changed, once, and not while it is going on.

Belongs here: the conditions. Does not: who evaluates them (``job.py``).

A partition is wanted from the moment at which something that it is made of changes until it is
*requested*, and not until it is next materialized, as Dagster's own ``since_last_handled`` has it:
what changes while a run is already reading would be taken for handled by that run's end. A request
comes before its run reads, so whatever was reported before the request is in the result, and
whatever is reported later is a new reason. Asking once too often costs a run; asking once too
seldom leaves a wrong answer for good.
"""

from __future__ import annotations

import dagster as dg

#: When partitions whose last run failed are asked for again.
RETRY_CRON = "*/10 * * * *"

_Condition = dg.AutomationCondition


def recompute_counts(events: dg.AssetKey) -> dg.AutomationCondition[dg.AssetKey]:
    """Days that gained events or categories, as ``events`` (external, daily) is reported.

    At the first look also the days that had gained some before anybody looked.
    """
    # Later than that the events' own days are not asked for: of an external asset that is slow.
    unseen = _Condition.initial_evaluation() & _Condition.missing() & _has_input(events)
    return _once(events, unseen)


def recompute_shares(counts: dg.AssetKey) -> dg.AutomationCondition[dg.AssetKey]:
    """Query dates whose window holds a day that was counted anew.

    Also those that begin: a date without an event of its own still sees two weeks of them. Dates
    that have not begun do not exist.
    """
    begun = (_Condition.missing() & _has_input(counts)).newly_true()
    return _once(counts, begun)


def _once(
    dependency: dg.AssetKey, otherwise: dg.AutomationCondition[dg.AssetKey]
) -> dg.AutomationCondition[dg.AssetKey]:
    """Where ``dependency`` was updated, ``otherwise`` holds, or, from time to time, a run failed.

    A partition is left alone while it or what it is made of is being computed.
    """
    only = dg.AssetSelection.assets(dependency)
    requested = _Condition.newly_requested()
    updated = _Condition.any_deps_match(_Condition.newly_updated()).allow(only)
    # Two conditions, each since its own request: within an "or" Dagster forgets the times, and with
    # them which came first, an update or a request of the same interval.
    wanted = updated.since(requested) | otherwise.since(requested)
    failed = _Condition.execution_failed() & _Condition.cron_tick_passed(RETRY_CRON)
    # Runs, not backfills: those are called ended up to half a minute after their last run.
    making = _Condition.any_deps_match(_Condition.run_in_progress()).allow(only)
    return (wanted | failed) & ~_Condition.in_progress() & ~making


def _has_input(dependency: dg.AssetKey) -> dg.AutomationCondition[dg.AssetKey]:
    return _Condition.any_deps_match(~_Condition.missing()).allow(
        dg.AssetSelection.assets(dependency)
    )
