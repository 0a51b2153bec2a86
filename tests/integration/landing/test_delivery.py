"""A sink's way through a batch: done, failed, closed, on a real Postgres."""

from __future__ import annotations

import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.batch.delivery import deliver
from landing.batch.failures import GoesOnLater, PermanentError
from landing.batch.staging import StagingLost
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row

pytestmark = pytest.mark.servers("postgres")


@pytest.fixture
def landing(env: dict[str, str]) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def sink_row(landing: Landing, batch_id: str, sink: str) -> tuple:
    (found,) = landing.query(
        "SELECT state, rows_written, run_id, error_class, error FROM landing.batch_sink"
        " WHERE batch_id = %s AND sink = %s",
        batch_id,
        sink,
    )
    return found


def delivery(landing: Landing, batch_id: str, sink: str = "raw_messages", run_id: str = "run-1"):
    return deliver(
        landing.pg, landing.store, pipeline="campaigns", batch_id=batch_id, sink=sink, run_id=run_id
    )


def test_a_failed_sink_is_noted_and_leaves_the_others_alone(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    with (
        pytest.raises(ConnectionRefusedError, match="nobody"),
        delivery(landing, batch) as work,
    ):
        raise ConnectionRefusedError("nobody home")
    assert sink_row(landing, batch, "raw_messages") == (
        "failed", None, "run-1", "transient", "ConnectionRefusedError: nobody home",
    )  # fmt: skip
    for sink in CAMPAIGNS.sinks[1:]:
        landing.deliver(batch, sink)
    assert landing.state(batch) == "pending"
    with delivery(landing, batch, run_id="run-2") as work:
        assert work.row_count == 1
        work.done(rows_written=sum(len(chunk) for chunk in work.chunks()))
    assert sink_row(landing, batch, "raw_messages") == ("done", 1, "run-2", None, None)
    assert landing.state(batch) == "loaded"


def test_a_sink_that_goes_on_later_has_to_take_the_batch_yet(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    for sink in CAMPAIGNS.sinks[1:]:
        landing.deliver(batch, sink)
    with pytest.raises(ConnectionRefusedError), delivery(landing, batch):
        raise ConnectionRefusedError("nobody home")
    with pytest.raises(GoesOnLater, match="others"), delivery(landing, batch, run_id="run-2"):
        raise GoesOnLater("others", 3)
    assert sink_row(landing, batch, "raw_messages") == ("pending", None, "run-2", None, None)
    assert landing.state(batch) == "pending"
    with delivery(landing, batch, run_id="run-3") as work:
        work.done(rows_written=1)
    assert landing.state(batch) == "loaded"
    # Once more, by hand: what it had taken is not what it is to hold.
    with pytest.raises(GoesOnLater), delivery(landing, batch, run_id="run-4"):
        raise GoesOnLater("others", 3)
    assert sink_row(landing, batch, "raw_messages")[0] == "pending"


def test_a_permanent_failure_is_classed_so(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    with pytest.raises(PermissionError), delivery(landing, batch):
        raise PermissionError("no")
    assert sink_row(landing, batch, "raw_messages")[3] == "permanent"


def test_what_was_never_validated_cannot_be_delivered(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    for batch_id, sink, message in (
        (batch, "raw_messages", "run the pipeline's validation"),
        ("20260101T000000Z-0001", "raw_messages", "not in the ledger"),
    ):
        with pytest.raises(PermanentError, match=message), delivery(landing, batch_id, sink):
            pytest.fail("the block must not be entered")
    landing.validate(batch)
    with pytest.raises(PermanentError, match="no_sink"), delivery(landing, batch, "no_sink"):
        pytest.fail("the block must not be entered")


def test_lost_staging_fails_the_sink_with_its_name(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    landing.store.delete(f"staging/campaigns/{batch}/accepted-0.parquet")
    with pytest.raises(StagingLost), delivery(landing, batch) as work:
        list(work.chunks())
    assert "accepted-0.parquet is missing" in sink_row(landing, batch, "raw_messages")[4]


def test_what_was_replaced_reaches_the_sinks(landing):
    landing.load(landing.batch({"campaigns/a.csv": [row("r1", "old", user="u1"), row("r2")]}))
    batch = landing.batch({"campaigns/b.csv": [row("r1", "new", user="u2", campaign="")]})
    landing.validate(batch)
    with delivery(landing, batch) as work:
        frame = work.replaced()
    assert frame.columns == ["key", "event_time", "user_id", "campaign", "message_hash"]
    assert frame.select("key", "user_id", "campaign").rows() == [("r1", "u1", "Sale")]
    assert str(frame.schema["event_time"]) == "Datetime(time_unit='us', time_zone='UTC')"


def test_chunks_are_bounded_and_can_be_read_again(landing):
    batch = landing.batch({"campaigns/a.csv": [row(f"r{n:03}") for n in range(250)]})
    landing.validate(batch)
    landing.load(landing.batch({"campaigns/b.csv": [row("r000", "newer")]}))
    with delivery(landing, batch) as work:
        for _ in range(2):
            chunks = list(work.chunks(rows=100))
            assert [len(chunk) for chunk in chunks] == [99, 100, 50]
