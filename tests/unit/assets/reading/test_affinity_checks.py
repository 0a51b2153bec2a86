"""The standing check over what was told and what was computed since."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import dagster as dg
import pytest

from assets.reading.affinity import checks as affinity_checks
from assets.reading.affinity.assets import COUNTS_KEY, SHARES_KEY
from assets.reading.pipeline import USER_INTERACTION_KEY

DAY = date(2022, 3, 5)
SEEING = [str(DAY + timedelta(days=number)) for number in range(15)]


def checked(instance: dg.DagsterInstance) -> tuple[bool, int, int]:
    result: Any = affinity_checks.changes_reach_the_answers(
        dg.build_asset_check_context(instance=instance)
    )
    metadata = result.metadata
    return (
        bool(result.passed),
        metadata["days_not_counted"].value,
        metadata["dates_not_shared"].value,
    )


def tell(instance: dg.DagsterInstance, key: dg.AssetKey, *partitions: str) -> None:
    for partition in partitions:
        instance.report_runless_asset_event(dg.AssetMaterialization(key, partition=partition))


def test_what_changed_and_was_not_computed_since_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity_checks, "GRACE", timedelta(0))
    with dg.DagsterInstance.ephemeral() as instance:
        assert checked(instance) == (True, 0, 0)
        tell(instance, USER_INTERACTION_KEY, str(DAY))
        assert checked(instance) == (False, 1, 0)
        tell(instance, COUNTS_KEY, str(DAY))
        assert checked(instance) == (False, 0, 15)
        tell(instance, SHARES_KEY, *SEEING[:-1])
        assert checked(instance) == (False, 0, 1)
        tell(instance, SHARES_KEY, SEEING[-1])
        assert checked(instance) == (True, 0, 0)
        tell(instance, USER_INTERACTION_KEY, str(DAY))
        assert checked(instance) == (False, 1, 0)


def test_what_has_just_changed_is_not_late() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        tell(instance, USER_INTERACTION_KEY, str(DAY))
        tell(instance, COUNTS_KEY, SEEING[3])
        assert checked(instance) == (True, 0, 0)


def test_dates_that_have_not_begun_are_not_missed() -> None:
    found = affinity_checks.stale_shares({str(DAY): 7}, {}, DAY + timedelta(days=2))
    assert found == {str(DAY): dict.fromkeys(SEEING[:3], 0)}
