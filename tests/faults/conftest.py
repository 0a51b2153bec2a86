from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from tests import rabbitmq
from tests.faults.batch_runs import default_variables
from tests.faults.campaign_runs import CampaignRuns


@pytest.fixture
def runs(env: dict[str, str]) -> Iterator[CampaignRuns]:
    with default_variables(), dg.DagsterInstance.ephemeral() as instance:
        yield CampaignRuns(env, instance)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rabbitmq.RabbitMq]:
    """A RabbitMQ for all tests that want one: their files are one group."""
    with rabbitmq.running(tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running
