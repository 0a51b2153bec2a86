from __future__ import annotations

import pytest

from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing


@pytest.fixture
def landing(env: dict[str, str]) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])
