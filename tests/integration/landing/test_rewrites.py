"""A batch written again gives every record that it owns, or says what it cannot read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival import endings, ledger
from landing.arrival.requests import Request, request_for
from landing.batch import retention
from landing.batch.failures import PermanentError, classify
from landing.batch.records import RecordTable
from landing.batch.rewriting import RecordsLost
from landing.batch.staging import StagingLost
from migrations.upgrade import upgrade
from tests.integration.campaigns.harness import Landing, row

pytestmark = pytest.mark.servers("postgres")

SINK, OTHER = CAMPAIGNS.sinks[:2]
RECORDS = RecordTable("campaigns", ("user_id", "campaign", "message_hash"))


@pytest.fixture
def landing(env) -> Landing:
    upgrade(env["POSTGRES_URL"])
    return Landing(env["POSTGRES_URL"])


def maintain(landing: Landing, days: float = 8) -> retention.Removed:
    """What maintenance does ``days`` from now."""
    with landing.pg.connect(autocommit=True) as connection:
        now = datetime.now(UTC) + timedelta(days=days)
        return retention.remove_staging(
            connection, landing.store, CAMPAIGNS.source_name, now, RECORDS
        )


def staged(landing: Landing, batch_id: str) -> list[str]:
    return sorted(k for k in landing.store.objects if k.startswith(f"staging/campaigns/{batch_id}"))


def lose(landing: Landing, batch_id: str) -> None:
    for key in staged(landing, batch_id):
        landing.store.delete(key)


def rewritten(landing: Landing, *batches: str) -> dict[str, str | None]:
    """A sink that was empty, after a backfill."""
    sinks = {sink: {} for sink in CAMPAIGNS.sinks}
    for batch_id in batches:
        landing.load(batch_id, sinks)
    assert all(held == sinks[SINK] for held in sinks.values())
    return sinks[SINK]


def without_times(landing: Landing) -> dict:
    return {k: v for k, v in landing.everything().items() if k not in {"objects", "parts"}}


def test_what_became_of_its_sources_changes_nothing_while_maintenance_runs(landing):
    """One object rewritten without r1, another deleted, both batches written into empty sinks."""
    first = landing.batch({"campaigns/a.csv": [row("r1"), row("r2")]})
    second = landing.batch({"campaigns/b.csv": [row("r9")]})
    landing.load(first)
    landing.load(second)
    third = landing.batch({"campaigns/a.csv": [row("r2", "new"), row("r3")]})
    landing.load(third)
    landing.store.delete("campaigns/b.csv")
    maintain(landing)
    assert rewritten(landing, first, second, third) == {
        "r1": "Hello", "r2": "new", "r3": "Hello", "r9": "Hello",
    }  # fmt: skip


@pytest.mark.parametrize("how", ["gone", "superseded"])
def test_what_cannot_be_read_is_named_and_the_batch_stays_as_it_was(landing, how):
    batch = landing.batch(
        {"campaigns/a.csv": [row("r1"), row("r2")], "campaigns/b.csv": [row("b")]}
    )
    landing.load(batch)
    lose(landing, batch)
    if how == "gone":
        landing.store.delete("campaigns/a.csv")
    else:
        landing.put("campaigns/a.csv", [row("r2")])
    before = without_times(landing)
    with pytest.raises(RecordsLost, match=rf"2 current records.*campaigns/a.csv#\d+ is {how}"):
        landing.validate(batch)
    assert without_times(landing) == before
    assert landing.state(batch) == "loaded"


def test_what_was_lost_comes_back_with_an_object_that_has_it(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1"), row("r2")]})
    landing.load(batch)
    lose(landing, batch)
    landing.store.delete("campaigns/a.csv")
    assert landing.load(landing.batch({"campaigns/b.csv": [row("r1")]})).rows.written == 0
    with pytest.raises(RecordsLost):
        landing.validate(batch)
    again = landing.batch({"campaigns/c.csv": [row("r1"), row("r2")]})
    assert rewritten(landing, again) == {"r1": "Hello", "r2": "Hello"}
    assert rewritten(landing, batch, again) == {"r1": "Hello", "r2": "Hello"}
    third = landing.batch({"campaigns/d.csv": [row("r1"), row("r2")]})
    assert landing.load(third).rows.unchanged == 2


def test_a_run_that_cannot_write_a_loaded_batch_again_leaves_it_loaded(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.load(batch)
    now = datetime.now(UTC)
    with landing.pg.connect(autocommit=True) as connection:
        ledger.mark_running(connection, batch, "later", now)
        ledger.note_error(
            connection, batch, run_id="later", error_class="permanent", error="cannot be read"
        )
        assert ledger.mark_failed(
            connection, batch, run_id="later", error_class="permanent", error="no", now=now
        )
        assert landing.state(batch) == "loaded"
        # Nor one whose process dies before it changed anything.
        running = ledger.mark_running(connection, batch, "dies", now)
        assert endings.mark_lost(connection, running, error="gone", now=now, began=True)
    assert landing.state(batch) == "loaded"


def test_staging_gives_what_objects_no_longer_do_and_the_other_way_round(landing, monkeypatch):
    from landing.batch import staging

    monkeypatch.setattr(staging, "PART_ROWS", 2)
    rows = [row(f"r{n}") for n in range(6)]
    batch = landing.batch({"campaigns/a.csv": rows[:4], "campaigns/b.csv": rows[4:]})
    landing.load(batch)
    one, two, three = staged(landing, batch)
    landing.store.delete("campaigns/a.csv")
    landing.store.delete(three)
    assert rewritten(landing, batch) == {f"r{n}": "Hello" for n in range(6)}
    assert not {one, two, three} & set(staged(landing, batch)), "parts get names of their own"
    landing.store.delete("campaigns/b.csv")
    assert rewritten(landing, batch) == {f"r{n}": "Hello" for n in range(6)}


def test_a_rewrite_that_dies_leaves_the_old_parts(landing):
    from tests.memory_store import PutRefused

    batch = landing.batch({"campaigns/a.csv": [row("r1")], "campaigns/b.csv": [row("r2")]})
    landing.load(batch)
    (part,) = staged(landing, batch)
    content = landing.store.objects[part]
    landing.store.delete(part)
    landing.store.puts_left = 0
    with pytest.raises(PutRefused):
        landing.validate(batch)
    landing.store.puts_left = None
    landing.store.objects[part] = content
    landing.store.delete("campaigns/a.csv")
    assert rewritten(landing, batch) == {"r1": "Hello", "r2": "Hello"}


def test_as_many_rows_staged_as_were_written_are_not_enough(landing):
    """Staging of other rows: counts agree, keys do not."""
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    other = landing.batch({"campaigns/b.csv": [row("r2")]})
    landing.load(batch)
    landing.load(other)
    with landing.pg.connect() as connection:
        connection.execute(
            "UPDATE landing.staged_part p SET key = o.key, sha256 = o.sha256, bytes = o.bytes"
            " FROM landing.staged_part o WHERE p.batch_id = %s AND o.batch_id = %s",
            (batch, other),
        )
    assert rewritten(landing, batch) == {"r1": "Hello"}


def test_maintenance_keeps_what_is_current_and_no_more(landing):
    first = landing.batch({"campaigns/a.csv": [row(f"r{n}") for n in range(8)]})
    landing.load(first)
    assert maintain(landing, 6) == retention.Removed(0, 0)
    assert maintain(landing) == retention.Removed(0, 0)
    second = landing.batch({"campaigns/b.csv": [row(f"r{n}", "new") for n in range(4)]})
    landing.load(second)
    assert maintain(landing) == retention.Removed(0, 0), "half of it is current"
    third = landing.batch({"campaigns/c.csv": [row("r4", "newer")]})
    landing.load(third)
    (old,) = staged(landing, first)
    done = maintain(landing)
    assert (done.parts, done.compacted, done.damaged) == (1, 1, 0)
    (new,) = staged(landing, first)
    assert new != old
    assert maintain(landing) == retention.Removed(0, 0)
    landing.store.delete("campaigns/a.csv")
    assert rewritten(landing, first) == {f"r{n}": "Hello" for n in (5, 6, 7)}
    landing.load(landing.batch({"campaigns/d.csv": [row(f"r{n}", "last") for n in (5, 6, 7)]}))
    assert maintain(landing).parts == 1
    assert staged(landing, first) == []
    assert rewritten(landing, first) == {}
    assert landing.state(first) == "loaded"


def test_maintenance_leaves_staging_that_is_not_as_it_was(landing):
    batch = landing.batch({"campaigns/a.csv": [row(f"r{n}") for n in range(4)]})
    landing.load(batch)
    landing.load(landing.batch({"campaigns/b.csv": [row(f"r{n}", "new") for n in range(3)]}))
    (key,) = staged(landing, batch)
    landing.store.put(key, b"something else")
    assert maintain(landing).damaged == 1
    assert staged(landing, batch) == [key]
    assert rewritten(landing, batch) == {"r3": "Hello"}


def sinks(landing: Landing, batch_id: str) -> dict[str, str]:
    return dict(
        landing.query("SELECT sink, state FROM landing.batch_sink WHERE batch_id = %s", batch_id)
    )


def request_of(landing: Landing, batch_id: str) -> Request:
    """What the next tick asks for."""
    with landing.pg.connect(autocommit=True) as connection:
        batch = ledger.batch(connection, batch_id)
        found = ledger.sinks(connection, [batch_id])[batch_id]
    return request_for(CAMPAIGNS.source("campaigns", ""), batch, batch.attempt + 1, found)


def test_lost_staging_is_validated_again_for_the_sinks_that_have_to_take_it(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    assert not request_of(landing, batch).validate
    landing.deliver(batch, OTHER)
    lose(landing, batch)
    with pytest.raises(StagingLost) as raised:
        landing.deliver(batch, SINK)
    assert classify(raised.value) == "transient"
    request = request_of(landing, batch)
    assert (request.validate, OTHER in request.sinks, SINK in request.sinks) == (True, False, True)
    assert landing.validate(batch).mode == "rewrite"
    assert not request_of(landing, batch).validate
    assert sinks(landing, batch)[OTHER] == "done", "what is done stays done"
    for sink in CAMPAIGNS.sinks:
        if sink != OTHER:
            assert landing.deliver(batch, sink) == {"r1": "Hello"}
    assert landing.state(batch) == "loaded"
    # A backfill of a loaded batch is for all of them.
    landing.validate(batch)
    assert set(sinks(landing, batch).values()) == {"pending"}


def test_lost_staging_and_source_wait_for_an_operator_by_name(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    landing.validate(batch)
    lose(landing, batch)
    landing.store.delete("campaigns/a.csv")
    with pytest.raises(StagingLost):
        landing.deliver(batch, SINK)
    with pytest.raises(RecordsLost, match=r"campaigns/a.csv#\d+ is gone"):
        landing.validate(batch)
    assert request_of(landing, batch).validate, "replay goes on from here"


@pytest.mark.parametrize("how", ["missing", "damaged", "removed"])
def test_one_sink_of_an_old_batch_is_written_from_what_is_kept_or_refused(landing, how):
    batch = landing.batch({"campaigns/a.csv": [row("r1"), row("r2")]})
    landing.load(batch)
    landing.load(landing.batch({"campaigns/b.csv": [row("r1", "new")]}))
    maintain(landing)
    assert landing.deliver(batch, SINK) == {"r2": "Hello"}
    assert landing.state(batch) == "loaded"
    if how == "missing":
        lose(landing, batch)
    elif how == "damaged":
        (key,) = staged(landing, batch)
        data = landing.store.get(key)
        landing.store.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    else:
        landing.load(landing.batch({"campaigns/c.csv": [row("r2", "new")]}))
        maintain(landing)
        assert staged(landing, batch) == []
    before = sinks(landing, batch)
    with pytest.raises(PermanentError, match="run the batch's validation too"):
        landing.deliver(batch, SINK)
    assert sinks(landing, batch) == before
    assert landing.state(batch) == "loaded"
