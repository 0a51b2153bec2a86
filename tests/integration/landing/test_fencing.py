"""Who may say what became of a batch: the run that holds it, and no other."""

from __future__ import annotations

import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival import ledger
from landing.batch.delivery import deliver
from landing.batch.failures import GoesOnLater
from landing.batch.holding import BatchHeldElsewhere
from landing.batch.locks import hold_locks
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row
from tests.unit.landing.bucket_model import START as NOW

pytestmark = pytest.mark.servers("postgres")

SINK = CAMPAIGNS.sinks[0]


@pytest.fixture
def landing(env: dict[str, str]) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


@pytest.fixture
def batch(landing: Landing) -> str:
    """Validated by the run ``old``, which holds it."""
    batch_id = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch_id)
    running(landing, batch_id, "old")
    return batch_id


def running(landing: Landing, batch_id: str, run_id: str, key: str | None = None) -> None:
    with landing.pg.connect() as connection:
        ledger.mark_running(connection, batch_id, run_id, NOW, key=key)


def requested(landing: Landing, batch_id: str, attempt: int) -> None:
    with landing.pg.connect() as connection:
        connection.execute(
            "UPDATE landing.batch SET state = 'failed_transient', attempt = %s", (attempt - 1,)
        )
        assert ledger.mark_requested(connection, batch_id, attempt, NOW)


def delivery(landing: Landing, batch_id: str, run_id: str):
    return deliver(
        landing.pg, landing.store, pipeline="campaigns", batch_id=batch_id, sink=SINK, run_id=run_id
    )


def sink(landing: Landing, batch_id: str) -> tuple:
    (found,) = landing.query(
        "SELECT state, run_id, error FROM landing.batch_sink WHERE batch_id = %s AND sink = %s",
        batch_id,
        SINK,
    )
    return found


def overtaken(landing, batch, error=None):
    """The run ``old`` writes; meanwhile ``new`` takes the batch up."""
    with delivery(landing, batch, "old") as work:
        running(landing, batch, "new")
        if error:
            raise error
        work.done(rows_written=1)


def test_a_run_that_was_given_up_marks_nothing_done(landing, batch):
    with pytest.raises(BatchHeldElsewhere, match=r"run old does not hold .*\(run new has taken"):
        overtaken(landing, batch)
    assert sink(landing, batch) == ("pending", "old", None)
    with delivery(landing, batch, "new") as work:
        work.done(rows_written=1)
    assert sink(landing, batch) == ("done", "new", None)


def test_its_rows_in_the_ledger_s_own_database_are_rolled_back(landing, batch):
    with landing.pg.connect() as connection:
        connection.execute("CREATE TABLE public.taken (record text)")

    def write() -> None:
        with delivery(landing, batch, "old") as work, landing.pg.connect() as connection:
            connection.execute("INSERT INTO public.taken VALUES ('r1')")
            running(landing, batch, "new")
            work.done_in(connection, rows_written=1)

    with pytest.raises(BatchHeldElsewhere):
        write()
    assert landing.query("SELECT * FROM public.taken") == []
    assert sink(landing, batch)[0] == "pending"


@pytest.mark.parametrize("error", [ConnectionError("away"), GoesOnLater("others", 1)])
def test_nor_failed_or_waiting(landing, batch, error):
    with pytest.raises((ConnectionError, BatchHeldElsewhere)) as raised:
        overtaken(landing, batch, error)
    assert sink(landing, batch) == ("pending", "old", None)
    told = [str(raised.value), *getattr(raised.value, "__notes__", [])]
    assert any("does not hold batch" in text for text in told)
    with landing.pg.connect() as connection:
        assert not ledger.mark_waiting(connection, batch, run_id="old", why="x", now=NOW)
        assert ledger.batch(connection, batch).run_id == "new"


def test_between_two_runs_nobody_holds_it(landing, batch):
    requested(landing, batch, 2)
    with (
        pytest.raises(BatchHeldElsewhere, match="it is requested"),
        delivery(landing, batch, "old"),
    ):
        pytest.fail("the block must not be entered")


def test_validation_is_committed_by_the_holder_only(landing):
    batch_id = landing.batch({"campaigns/a.csv": [row("r1")]})
    running(landing, batch_id, "another")
    with pytest.raises(BatchHeldElsewhere):
        landing.validate(batch_id)
    assert landing.records() == {}
    assert landing.query("SELECT validated_at FROM landing.batch") == [(None,)]


def test_a_run_of_an_earlier_attempt_does_not_take_it_up(landing, batch):
    requested(landing, batch, 2)
    with pytest.raises(BatchHeldElsewhere, match="is at attempt 2"):
        running(landing, batch, "old", key=f"{batch}/1")
    running(landing, batch, "new", key=f"{batch}/2")
    running(landing, batch, "operator's", key=None)


def test_a_run_that_lives_keeps_it(landing, batch, env):
    with (
        hold_locks(env["POSTGRES_URL"], "old"),
        pytest.raises(BatchHeldElsewhere, match=r"run old works on batch .* and lives"),
    ):
        running(landing, batch, "operator's")
    running(landing, batch, "operator's")


def test_runs_that_began_are_counted_once_each(landing, batch):
    for run_id, begun in (("old", 1), ("old", 1), ("new", 2)):
        running(landing, batch, run_id)
        with landing.pg.connect() as connection:
            assert ledger.batch(connection, batch).begun == begun


def test_the_last_step_may_be_done_again_after_the_batch_is_loaded(landing, batch):
    for name in CAMPAIGNS.sinks:
        with deliver(
            landing.pg, landing.store, pipeline="campaigns", batch_id=batch, sink=name, run_id="old"
        ) as work:
            work.done(rows_written=1)
    assert landing.state(batch) == "loaded"
    with delivery(landing, batch, "old") as work:
        work.done(rows_written=1)
    assert landing.state(batch) == "loaded"
