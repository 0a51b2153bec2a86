"""An object that every process dies of is rejected without being read."""

from __future__ import annotations

import pytest

from assets.frame.checks import validation_results
from landing.arrival.deadly import split_deadly
from landing.batch import quarantine
from landing.batch.reasons import KILLS_PROCESS
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row
from tests.unit.landing.bucket_model import START as NOW

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def landing(env: dict[str, str]) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def test_it_is_named_in_quarantine_and_its_batch_closes_by_itself(landing):
    batch = landing.batch({"campaigns/deadly.csv": [row("r1")]})
    landing.query(
        "UPDATE landing.batch SET state = 'failed_transient', deaths = 3 RETURNING batch_id"
    )
    with landing.pg.connect() as connection:
        (said,) = split_deadly(connection, "campaigns_gcs", NOW)
    assert "campaigns/deadly.csv is set aside: 3 processes in a row died" in said
    assert landing.query("SELECT deaths, next_attempt_at FROM landing.batch") == [(0, NOW)]
    # Were it opened, this would say so: the object is there and readable.
    result = landing.validate(batch)
    assert result.reasons == {KILLS_PROCESS.code: 1}
    assert result.rows.read == 0
    assert landing.state(batch) == "loaded_with_rejects"
    ((outcome, reason),) = landing.query("SELECT outcome, reason FROM landing.object_version")
    assert (outcome, reason) == ("rejected", "kills_process: 3 processes in a row died of it")
    (entry,) = quarantine.read(landing.quarantine, quarantine.quarantine_key("campaigns", batch))
    assert entry.get_column("reason").to_list() == [KILLS_PROCESS.code]
    assert entry.get_column("key").to_list() == ["campaigns/deadly.csv"]
    balance, _ = validation_results(landing.pg, batch)
    assert balance.passed
    assert landing.records() == {}


def test_its_neighbours_are_read(landing):
    batch = landing.batch(
        {
            "campaigns/a.csv": [row("r1")],
            "campaigns/b.csv": [row("r2")],
            "campaigns/c.csv": [row("r3")],
        }
    )
    landing.query(
        "UPDATE landing.object_version SET outcome = 'rejected', reason = %s WHERE key = %s"
        " RETURNING seq",
        f"{KILLS_PROCESS.code}: 3 processes in a row died of it",
        "campaigns/b.csv",
    )
    result = landing.validate(batch)
    assert set(landing.records()) == {"r1", "r3"}
    assert result.reasons == {KILLS_PROCESS.code: 1}
