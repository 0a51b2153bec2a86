from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from resources.environment import DEFAULTS
from tests.faults.campaign_runs import CampaignRuns


@pytest.fixture
def runs(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[CampaignRuns]:
    for name in DEFAULTS.keys() - env.keys():  # for this test only
        monkeypatch.setenv(name, DEFAULTS[name])
    with dg.DagsterInstance.ephemeral() as instance:
        yield CampaignRuns(env, instance)
