"""Validation of batches on a real Postgres: what is written, and that it is the same again."""

from __future__ import annotations

import hashlib
import io
import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from assets.campaigns.pipeline import CAMPAIGNS
from landing.batch.failures import PermanentError
from samples.campaigns import Shape, write
from tests.integration.campaigns.harness import Landing, Recount, as_csv, row
from tests.memory_store import PutRefused

pytestmark = pytest.mark.servers("postgres")


def figures(result) -> tuple[int, int, int, int]:
    rows = result.rows
    return rows.written, rows.unchanged, rows.superseded, rows.rejected


def staged(landing: Landing, batch_id: str) -> pl.DataFrame:
    keys = landing.query(
        "SELECT key FROM landing.staged_part WHERE batch_id = %s ORDER BY part", batch_id
    )
    return pl.concat([pl.read_parquet(io.BytesIO(landing.store.get(key))) for (key,) in keys])


def test_a_batch_end_to_end(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1", "Hi"), row("r2", "", campaign="")]})
    result = landing.validate(batch)
    assert figures(result) == (2, 0, 0, 0)
    assert result.mode == "deliver"
    assert landing.query("SELECT outcome, rows_read FROM landing.object_version") == [("loaded", 2)]
    frame = staged(landing, batch)
    assert frame.columns == [
        "record_id", "user_id", "message", "campaign", "timestamp", "row_hash", "message_hash",
        "seq", "line", "source", "ingested_at",
    ]  # fmt: skip
    assert frame.select("record_id", "message", "campaign", "line").rows() == [
        ("r1", "Hi", "Sale", 2),
        ("r2", None, None, 3),
    ]
    assert frame["message_hash"].to_list() == [hashlib.sha256(b"Hi").hexdigest(), None]
    assert frame["timestamp"].to_list() == [datetime(2025, 11, 3, 10, tzinfo=UTC)] * 2
    assert frame["source"].unique().to_list() == ["gs://campaigns/campaigns/a.csv#1"]
    assert [p["record_id"] for p in result.preview] == ["r1", "r2"]
    for number, sink in enumerate(CAMPAIGNS.sinks):
        assert landing.state(batch) == "pending"
        assert landing.deliver(batch, sink) == {"r1": "Hi", "r2": None}, number
    assert landing.state(batch) == "loaded"


def test_the_dirty_file(landing, tmp_path):
    manifest: Any = write(tmp_path / "dirty.csv", Shape(rows=300), 3, dirty=True).as_json()
    batch = landing.batch({"campaigns/dirty.csv": (tmp_path / "dirty.csv").read_bytes()})
    result = landing.load(batch)
    assert (result.rows.read, result.rows.written) == (manifest["read"], manifest["accepted"])
    assert result.reasons == manifest["reasons"]
    rejects = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    expected = [(reject["line"], reject["reason"]) for reject in manifest["rejects"]]
    assert sorted(rejects.select("line", "reason").rows()) == sorted(expected)
    lines = (tmp_path / "dirty.csv").read_bytes().split(b"\n")
    for line, text, truncated in rejects.select("line", "text", "truncated").iter_rows():
        original = lines[line - 1].decode(errors="backslashreplace").replace("\x00", "\\x00")
        assert original.startswith(text) if truncated else original == text
    assert rejects.filter("truncated")["reason"].to_list() == ["field_too_large"]
    duplicate = rejects.filter(pl.col("reason") == "duplicate_record_id").row(0, named=True)
    assert duplicate["kept_line"] == duplicate["line"] - 1
    assert landing.state(batch) == "loaded_with_rejects"
    assert len(landing.records()) == manifest["events"]


def test_in_one_object_the_latest_row_is_kept_and_the_others_name_its_line(landing):
    rows = [row("r1", "a", at=1), row("r1", "b", at=3), row("r1", "c", at=2), row("r1", "d", at=3)]
    result = landing.load(landing.batch({"campaigns/a.csv": rows}))
    assert figures(result) == (1, 0, 0, 3)
    rejects = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    assert rejects.select("line", "reason", "kept_line", "text").rows() == [
        (n, "duplicate_record_id", 5, as_csv(rows).decode().split("\n")[n - 1]) for n in (2, 3, 4)
    ]


def test_rows_with_line_breaks_and_duplicates_keep_their_text(landing):
    rows = [row("r1", "two\nlines", at=1), row("r1", 'say "x"', at=2)]
    result = landing.load(landing.batch({"campaigns/a.csv": rows}))
    rejects = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    assert rejects.select("line", "kept_line").rows() == [(2, 4)]
    assert rejects["text"].to_list() == ['r1,user_1,"two\nlines",Sale,2025-11-03 10:00:01.000000']


def test_the_same_rows_under_another_key_are_unchanged(landing):
    rows = [row(f"r{n}") for n in range(5)]
    assert figures(landing.load(landing.batch({"campaigns/a.csv": rows}))) == (5, 0, 0, 0)
    second = landing.batch({"campaigns/b.csv": rows})
    result = landing.validate(second)
    assert figures(result) == (0, 5, 0, 0)
    assert result.parts == ()
    assert landing.state(second) == "loaded"  # nothing for any sink to do
    sinks = landing.query(
        "SELECT DISTINCT state, rows_written FROM landing.batch_sink WHERE batch_id = %s", second
    )
    assert sinks == [("done", 0)]
    assert landing.deliver(second, "raw_messages") == {}


def test_two_equal_objects_in_one_batch(landing):
    rows = [row(f"r{n}") for n in range(5)]
    result = landing.load(landing.batch({"campaigns/a.csv": rows, "campaigns/b.csv": rows}))
    assert figures(result) == (5, 5, 0, 0)
    assert [o.rows.written for o in result.objects] == [5, 0]


def test_a_rewritten_object_updates_what_it_holds_and_deletes_nothing(landing):
    landing.load(landing.batch({"campaigns/a.csv": [row("r1"), row("r2", user="old"), row("r3")]}))
    second = landing.batch({"campaigns/a.csv": [row("r1"), row("r2", "New", user="new", at=1)]})
    assert figures(landing.load(second)) == (1, 1, 0, 0)
    assert set(landing.records()) == {"r1", "r2", "r3"}
    assert landing.query("SELECT batch_id, key, user_id FROM campaigns.replaced") == [
        (second, "r2", "old")
    ]


def test_contents_a_b_a_end_as_a(landing):
    sinks = {sink: {} for sink in CAMPAIGNS.sinks}
    a, b = [row("r1", "A"), row("r2", "A")], [row("r1", "B"), row("r2", "B")]
    for rows in (a, b, a):
        result = landing.load(landing.batch({"campaigns/x.csv": rows}), sinks)
        assert figures(result) == (2, 0, 0, 0)
    assert set(map(str, sinks.values())) == {str({"r1": "A", "r2": "A"})}


def test_an_older_batch_retried_late_does_not_undo_a_newer_one(landing):
    older = landing.batch({"campaigns/a.csv": [row("r1", "old"), row("r2", "only here")]})
    newer = landing.batch({"campaigns/b.csv": [row("r1", "new")]})
    landing.load(newer)
    assert figures(landing.load(older)) == (1, 0, 1, 0)
    assert landing.query("SELECT key, batch_id FROM campaigns.record ORDER BY key") == [
        ("r1", newer), ("r2", older),
    ]  # fmt: skip


def test_a_b_a_with_b_retried_last_ends_as_a(landing):
    """The unchanged third version must count as newer than the second, which comes late."""
    first = landing.batch({"campaigns/x.csv": [row("r1", "A")]})
    landing.load(first)
    second = landing.batch({"campaigns/b.csv": [row("r1", "B")]})
    third = landing.batch({"campaigns/x.csv": [row("r1", "A")]})
    assert figures(landing.load(third)) == (0, 1, 0, 0)
    assert figures(landing.load(second)) == (0, 0, 1, 0)
    assert landing.deliver(first, "raw_messages") == {"r1": "A"}


def test_a_sink_that_comes_late_gets_only_what_is_still_current(landing):
    first = landing.batch({"campaigns/a.csv": [row("r1", "1"), row("r2", "1")]})
    second = landing.batch({"campaigns/b.csv": [row("r1", "2")]})
    landing.validate(first)
    assert landing.deliver(first, "raw_messages") == {"r1": "1", "r2": "1"}
    landing.load(second)
    assert landing.deliver(first, "user_profiles") == {"r2": "1"}


def test_unchanged_rows_of_an_unfinished_batch_go_on(landing):
    rows = [row("r1", "old", user="u_old"), row("r2")]
    landing.load(landing.batch({"campaigns/0.csv": rows}))
    changed = [row("r1", "new", user="u_new"), row("r2")]
    stuck = landing.batch({"campaigns/a.csv": changed})
    assert figures(landing.validate(stuck)) == (1, 1, 0, 0)
    again = landing.batch({"campaigns/b.csv": changed})
    assert figures(landing.load(again)) == (1, 1, 0, 0)
    # What the stuck batch had replaced is recomputed with the one that got through.
    replaced = landing.query("SELECT batch_id, user_id FROM campaigns.replaced ORDER BY 1")
    assert replaced == [(stuck, "u_old"), (again, "u_old")]
    assert figures(landing.load(landing.batch({"campaigns/c.csv": changed}))) == (0, 2, 0, 0)
    assert landing.deliver(stuck, "raw_messages") == {"r1": "new"}


def test_objects_that_are_gone_superseded_or_no_csv(landing):
    batch = landing.batch(
        {
            "campaigns/gone.csv": [row("r1")],
            "campaigns/rewritten.csv": [row("r2")],
            "campaigns/good.csv": [row("r3")],
            "campaigns/image.csv": b"\x89PNG\r\n\x1a\n" + bytes(100),
            "campaigns/empty.csv": b"",
        }
    )
    landing.store.delete("campaigns/gone.csv")
    landing.store.put("campaigns/rewritten.csv", as_csv([row("r2", "2")]))
    result = landing.load(batch)
    assert [(o.outcome, o.rows.read) for o in result.objects] == [
        ("gone", 0), ("superseded", 0), ("loaded", 1), ("rejected", 0), ("loaded", 0),
    ]  # fmt: skip
    assert result.reasons == {"bad_header": 1}
    rejects = pl.read_parquet(io.BytesIO(landing.quarantine.get(result.quarantine_key)))
    assert rejects.select("key", "line", "reason").rows() == [
        ("campaigns/image.csv", None, "bad_header")
    ]
    assert landing.state(batch) == "loaded_with_rejects"


@pytest.mark.parametrize("puts", range(2))
def test_a_run_that_dies_between_staging_and_commit_leaves_nothing_decided(landing, puts):
    rows = [row("r1"), row("r2"), row("r1", at=1), ("", "u", "", "", "")]
    batch = landing.batch({"campaigns/a.csv": rows})
    before = landing.everything()
    refused = landing.quarantine if puts else landing.store
    refused.puts_left = 0
    with pytest.raises(PutRefused):
        landing.validate(batch)
    after = landing.everything()
    assert after["record"] == after["parts"] == after["quarantine"] == []
    assert after["versions"] == before["versions"]
    refused.puts_left = None
    landing.load(batch)
    interrupted = landing.everything()
    assert [key for key, _ in interrupted["rejects"]] == [f"campaigns/{batch}.parquet"]
    assert len(interrupted["record"]) == 2


def test_leftovers_of_a_killed_run_are_removed(landing):
    batch = landing.batch({"campaigns/a.csv": [row("r1")]})
    for part in range(3):
        landing.store.put(f"staging/campaigns/{batch}/accepted-{part}.parquet", b"leftover")
    landing.store.objects.pop("campaigns/none", None)
    landing.load(batch)
    kept = [key for key in landing.store.objects if key.startswith("staging/")]
    assert kept == [f"staging/campaigns/{batch}/accepted-0.parquet"]


@pytest.mark.parametrize("staging", ["kept", "removed", "damaged"])
def test_a_backfill_delivers_the_current_winners_again_and_keeps_the_counts(landing, staging):
    first = landing.batch({"campaigns/a.csv": [row("r1", "1"), row("r2", "1"), row("r2", "0")]})
    landing.load(first)
    landing.load(landing.batch({"campaigns/b.csv": [row("r1", "2")]}))
    before = landing.everything()
    (key,) = [k for k in landing.store.objects if k.startswith(f"staging/campaigns/{first}")]
    puts = len(landing.store.puts)
    if staging == "removed":
        landing.store.delete(key)
    elif staging == "damaged":
        landing.store.put(key, landing.store.get(key)[:-1] + b"!")
    result = landing.validate(first)
    assert result.mode == "rewrite"
    assert figures(result) == (2, 0, 0, 1)  # those of the first validation
    assert result.reasons == {"duplicate_record_id": 1}
    assert landing.query(
        "SELECT DISTINCT state FROM landing.batch_sink WHERE batch_id = %s", first
    ) == [("pending",)]
    for sink in CAMPAIGNS.sinks:
        assert landing.deliver(first, sink) == {"r2": "0"}
    after = landing.everything()
    for same in ("record", "replaced", "versions", "quarantine", "rejects", "batches"):
        assert after[same] == before[same], same
    assert (len(landing.store.puts) == puts) is (staging == "kept")


def test_an_unknown_batch_is_an_error(landing):
    with pytest.raises(PermanentError, match="not in the ledger"):
        landing.validate("20261122T000000Z-9999")


@pytest.mark.parametrize("seed", range(6))
def test_any_history_ends_as_an_independent_recount_says(landing, seed):
    """Random batches, validated in any order, loaded at once: counts, records and sinks agree.

    Histories in which batches are also retried and seen in another order: landing/test_order.py.
    """
    rng = random.Random(seed)
    sinks = {sink: {} for sink in CAMPAIGNS.sinks}
    batches, seq = [], 0
    for number in range(12):
        objects = {}
        versions = []
        for part in range(rng.randint(1, 3)):
            rows = [
                row(
                    f"r{rng.randint(1, 6)}",
                    rng.choice(["a", "b", ""]),
                    at=rng.randint(0, 2),
                    user=f"user_{rng.randint(1, 3)}",
                )
                for _ in range(rng.randint(0, 6))
            ]
            seq += 1
            objects[f"campaigns/{number}-{part}.csv"] = rows
            versions.append((seq, rows))
        batches.append((landing.batch(objects), versions))
    rng.shuffle(batches)
    recount = Recount()
    for batch_id, versions in batches:
        assert figures(landing.load(batch_id, sinks)) == recount.take(versions)
    expected = {key: content[2] or None for key, (_, content) in recount.current.items()}
    for held in sinks.values():
        assert held == expected
    assert {k: v[:2] for k, v in landing.records().items()} == {
        key: [content[1], content[3]] for key, (_, content) in recount.current.items()
    }
    assert dict(landing.query("SELECT key, said_seq FROM campaigns.record")) == {
        key: seq for key, (seq, _) in recount.current.items()
    }
    counted = Counter()
    for read, *rest in landing.query(
        "SELECT rows_read, rows_written, rows_unchanged, rows_superseded, rows_rejected"
        " FROM landing.object_version"
    ):
        assert read == sum(rest)
        counted["read"] += read
    assert counted["read"] == sum(len(rows) for _, vs in batches for _, rows in vs)
