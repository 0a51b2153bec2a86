"""`make quarantine` on a real ledger and real buckets: listed, shown, put back, read anew."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime

import polars as pl
import pytest

from assets.campaigns import rules
from assets.campaigns.pipeline import CAMPAIGNS
from landing.arrival import ledger
from landing.arrival.tick import evaluate_tick
from landing.batch.delivery import deliver
from landing.stores.gcs import GcsStore
from migrations.upgrade import upgrade
from ops import quarantine
from resources.gcs import GcsResource
from tests.integration.campaigns.harness import HEADER, Landing, row

pytestmark = pytest.mark.servers("postgres", "gcs")

GOOD = "g,user_1,Hi,Sale,2025-11-03 10:00:00\n"
LATE = "w,user_2,Hello,Sale,sometime\n"
TWICE = "g,user_1,Older,Sale,2025-11-03 09:00:00\n"
SHORT = "x,user_3\n"
DIRTY = (HEADER + GOOD + LATE + TWICE + SHORT).encode()


@pytest.fixture
def landing(env):
    upgrade(env["POSTGRES_URL"])
    with closing(GcsResource(project=env["GOOGLE_CLOUD_PROJECT"]).client()) as client:
        yield Landing(
            env["POSTGRES_URL"],
            GcsStore(client, env["CAMPAIGNS_BUCKET"]),
            GcsStore(client, env["QUARANTINE_BUCKET"]),
        )


class NoRuns:
    """Dagster without any run."""

    def how_ended(self, run_key):
        return None

    def has_succeeded(self, run_id):
        return False

    def give_up(self, run_id):
        return "began"


def tick(landing, env):
    """The batches that the sensor would make of what lies in the bucket now."""
    source = CAMPAIGNS.source(env["CAMPAIGNS_BUCKET"], env["CAMPAIGNS_PREFIX"])
    with landing.pg.connect(autocommit=True) as connection:
        found = evaluate_tick(
            source,
            landing.store,
            connection,
            None,
            now=lambda: datetime.now(UTC),
            deadline=time.monotonic() + 30,
            clock=time.monotonic,
            runs=NoRuns(),
        )
    return found.created


def test_rows_come_back_under_new_rules_with_counts_of_their_own(landing, env, monkeypatch, capsys):
    batch_id = landing.batch({"campaigns/a.csv": DIRTY})
    landing.load(batch_id)
    assert landing.state(batch_id) == "loaded_with_rejects"
    assert tick(landing, env) == ()

    assert quarantine.run(None, replay=False, limit=20) == 0
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith(batch_id)]
    for part in ("campaigns", "  3  ", "1 bad_timestamp", "1 duplicate_record_id", "  -  "):
        assert part in line

    assert quarantine.run(batch_id, replay=False, limit=2) == 0
    shown = capsys.readouterr().out
    assert "line 3  bad_timestamp  (sometime)" in shown
    assert LATE.strip() in shown
    assert "… 1 more" in shown
    assert "bad_timestamp        no such moment, or before 1970 → correct" in shown

    assert quarantine.run(batch_id, replay=True, limit=20) == 0
    said = capsys.readouterr().out
    assert "2 of 3 rows put back" in said
    assert "1 not put back: duplicate" in said
    replayed = landing.store.get(f"campaigns/replay/{batch_id}-0.csv")
    assert replayed.decode() == HEADER + LATE + SHORT

    # A new release that knows what "sometime" means.
    monkeypatch.setattr(
        rules, "parsed_timestamp", lambda value: pl.lit(datetime(2025, 11, 3, tzinfo=UTC))
    )
    (second,) = tick(landing, env)
    with landing.pg.connect() as connection:
        ledger.mark_running(connection, second, "run", datetime.now(UTC))
    sinks = {sink: {} for sink in ("raw_messages",)}
    result = landing.validate(second)
    sinks["raw_messages"].update(landing.deliver(second, "raw_messages"))
    assert sinks == {"raw_messages": {"w": "Hello"}}
    assert (result.rows.read, result.rows.written, result.rows.rejected) == (2, 1, 1)
    assert set(landing.records()) == {"g", "w"}

    assert quarantine.run(None, replay=False, limit=20) == 0
    listed = [t.split()[0] for t in capsys.readouterr().out.splitlines() if t.startswith("2026")]
    assert sorted(listed) == sorted([batch_id, second])
    (replayed_at,) = landing.query(
        "SELECT replayed_at FROM landing.quarantine WHERE batch_id = %s", batch_id
    )[0]
    assert (datetime.now(UTC) - replayed_at).total_seconds() < 60
    counts = landing.query(
        "SELECT rows_read, rows_written, rows_rejected FROM landing.object_version"
        " WHERE batch_id = %s",
        batch_id,
    )
    assert counts == [(4, 1, 3)], "the first batch's counts stay"


def test_what_is_put_back_never_overwrites_what_has_arrived_since(
    landing, env, monkeypatch, capsys
):
    landing.load(landing.batch({"campaigns/0.csv": [row("w", "before")]}))
    overtaken = LATE.replace("w,", "x,")
    batch_id = landing.batch({"campaigns/a.csv": (HEADER + LATE + overtaken).encode()})
    landing.load(batch_id)
    later = [row("x", "arrived since", user="user_3")]
    landing.load(landing.batch({"campaigns/b.csv": later}))
    assert quarantine.run(batch_id, replay=True, limit=20) == 0
    landing.store.put("campaigns/replay/other.csv", (HEADER + GOOD).encode())
    monkeypatch.setattr(
        rules, "parsed_timestamp", lambda value: pl.lit(datetime(2025, 12, 3, tzinfo=UTC))
    )
    (second,) = tick(landing, env)
    with landing.pg.connect() as connection:
        ledger.mark_running(connection, second, "run", datetime.now(UTC))
    landing.load(second)
    order = "coalesce(order_at, arrived), coalesce(order_seq, seq)"
    orders = {
        key: (at, seq)
        for key, at, seq in landing.query(f"SELECT key, {order} FROM landing.object_version")
    }
    assert orders[f"campaigns/replay/{batch_id}-0.csv"] == orders["campaigns/a.csv"]
    assert orders["campaigns/replay/other.csv"] > orders["campaigns/b.csv"]
    held = {}
    for (one,) in landing.query("SELECT batch_id FROM landing.batch ORDER BY batch_id"):
        with landing.pg.connect() as connection:
            ledger.mark_running(connection, one, "run", datetime.now(UTC))
        held |= landing.deliver(one, "raw_messages")
    assert held == {"w": "Hello", "x": "arrived since", "g": "Hi"}


def test_a_corrected_file_arrives_by_itself_and_its_old_rows_stay_out(landing, env, capsys):
    batch_id = landing.batch({"campaigns/a.csv": DIRTY})
    landing.load(batch_id)
    landing.store.put("campaigns/a.csv", (HEADER + GOOD).encode())
    assert quarantine.run(batch_id, replay=True, limit=20) == 1
    said = capsys.readouterr()
    assert "was replaced: its newer version arrives by itself" in said.out
    assert "Nothing" in said.err
    (second,) = tick(landing, env)
    assert landing.query("SELECT key FROM landing.object_version WHERE batch_id = %s", second) == [
        ("campaigns/a.csv",)
    ]
    assert landing.query("SELECT replayed_at FROM landing.quarantine") == [(None,)]


def test_a_whole_rejected_object_stays_and_is_told_about(landing, env, capsys):
    batch_id = landing.batch({"campaigns/no.csv": b"not,the,header\n1,2,3\n"})
    landing.load(batch_id)
    assert quarantine.run(batch_id, replay=False, limit=20) == 0
    assert "whole object  bad_header" in capsys.readouterr().out
    assert quarantine.run(batch_id, replay=True, limit=20) == 1
    assert "correct it and upload it again" in capsys.readouterr().out
    assert landing.store.get("campaigns/no.csv").startswith(b"not,the,header")
    assert tick(landing, env) == ()


def test_what_there_is_nothing_of(landing, capsys):
    assert quarantine.run(None, replay=False, limit=20) == 0
    assert capsys.readouterr().out == "Nothing was rejected.\n"
    assert quarantine.run("20200101T000000Z-0001", replay=True, limit=20) == 1
    assert "no batch 20200101T000000Z-0001" in capsys.readouterr().err
    clean = landing.batch({"campaigns/a.csv": [row("a")]})
    landing.load(clean)
    assert quarantine.run(clean, replay=False, limit=20) == 0
    said = capsys.readouterr()
    assert f"{clean} of campaigns (loaded) has no rejects.\n" == said.out
    assert said.err == ""


def test_a_quarantine_object_that_was_removed(landing, env, capsys):
    batch_id = landing.batch({"campaigns/a.csv": DIRTY})
    landing.load(batch_id)
    landing.quarantine.delete(f"campaigns/{batch_id}.parquet")
    assert quarantine.run(batch_id, replay=False, limit=20) == 1
    assert f"campaigns/{batch_id}.parquet" in capsys.readouterr().err


def test_what_a_store_refuses_is_shown_with_its_text(landing, env, capsys):
    text = (HEADER + GOOD + "r,user_9,Refused,Sale,2025-11-03 10:00:00\n").encode()
    batch = landing.batch({f"{env['CAMPAIGNS_PREFIX']}a.csv": text})
    landing.validate(batch)
    with deliver(
        landing.pg, landing.store, pipeline="campaigns", batch_id=batch, sink="raw_messages",
        run_id="run",
    ) as delivery:  # fmt: skip
        delivery.refuse("r", "10334: object to insert too large")
        assert [chunk["record_id"].to_list() for chunk in delivery.taken()] == [["g"]]
        delivery.done(rows_written=1)
    assert quarantine.run(None, replay=False, limit=10) == 0
    assert f"{batch}  campaigns  1 " in capsys.readouterr().out
    assert quarantine.run(batch, replay=False, limit=10) == 0
    said = capsys.readouterr().out
    assert "1 refused by a store" in said
    assert "a.csv#" in said
    assert "line 3  rejected_by_sink  (raw_messages: 10334: object to insert too large)" in said
    assert "r,user_9,Refused,Sale" in said
    assert "correct the row in its file" in said
    assert quarantine.run(batch, replay=True, limit=10) == 1
    assert "is not put back" in capsys.readouterr().err


def test_rejected_and_refused_rows_of_a_batch_are_one_line(landing, env, capsys):
    batch = landing.batch({"campaigns/a.csv": DIRTY})
    landing.validate(batch)
    for sink in ("raw_messages", "engagement_graph"):
        with deliver(
            landing.pg, landing.store, pipeline="campaigns", batch_id=batch, sink=sink,
            run_id="run",
        ) as delivery:  # fmt: skip
            delivery.refuse("g", "no such number")
            delivery.done(rows_written=0)
    assert quarantine.run(None, replay=False, limit=20) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(batch)]
    assert len(lines) == 1
    for part in ("  5  ", "2 rejected_by_sink", "1 bad_timestamp", "  -  "):
        assert part in lines[0]
