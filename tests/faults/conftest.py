from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tests.faults.batch_runs import default_variables
from tests.faults.campaign_runs import CampaignRuns


@pytest.fixture
def runs(env: dict[str, str]) -> Iterator[CampaignRuns]:
    with default_variables(), dg.DagsterInstance.ephemeral() as instance:
        yield CampaignRuns(env, instance)
