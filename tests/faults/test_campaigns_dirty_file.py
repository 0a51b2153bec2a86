"""A file with one of each defect: every bad row in quarantine, every good row in every sink."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from samples.campaigns import Shape, write
from tests.faults.campaign_runs import SERVERS, CampaignRuns
from tests.faults.end_state import assert_profiles_are_means, assert_same, end_state
from tests.faults.oracle import expected, rows_of

pytestmark = pytest.mark.servers(*SERVERS)


def test_one_of_each_defect(runs: CampaignRuns, tmp_path: Path) -> None:
    manifest = write(tmp_path / "dirty.csv", Shape(rows=150, users=40), seed=3, dirty=True)
    data = (tmp_path / "dirty.csv").read_bytes()
    bad = dict(manifest.rejects)
    good = rows_of(data, without_lines=bad)
    assert len(bad) == 11  # all different: nothing here can pass by leaving a defect out
    assert len(set(bad.values())) == 11
    assert len(good) == 150

    batch = runs.load("dirty.csv", data)

    assert_same(end_state(runs.env), expected(good))
    assert_profiles_are_means(runs.env)
    assert runs.batch(batch).state == "loaded_with_rejects"
    assert runs.counts(batch) == {
        "read": 161, "written": 150, "unchanged": 0, "superseded": 0, "rejected": 11,
    }  # fmt: skip

    with runs.bucket("QUARANTINE_BUCKET") as bucket:
        (blob,) = bucket.list_blobs()
        held = pq.read_table(io.BytesIO(blob.download_as_bytes())).to_pylist()
    assert {row["line"]: row["reason"] for row in held} == bad
    assert len(held) == 11
    lines = data.split(b"\n")
    for row in held:
        original = lines[row["line"] - 1].decode(errors="backslashreplace")
        assert row["key"] == "campaigns/dirty.csv"
        assert row["version"]
        if row["truncated"]:
            assert row["reason"] == "field_too_large"
            assert original.startswith(row["text"])
            assert len(row["text"]) >= 60_000
        else:
            assert row["text"].rstrip("\n") == original.replace("\0", "\\x00")
    (duplicate,) = [row for row in held if row["reason"] == "duplicate_record_id"]
    assert duplicate["kept_line"] == duplicate["line"] - 1

    checks = {
        check.check_name: check
        for check in runs.results[batch].get_asset_check_evaluations()
        if check.asset_key.path[-1] == "events"
    }
    balance = {name: value.value for name, value in checks["rows_balance"].metadata.items()}
    assert checks["rows_balance"].passed
    assert balance["rows_read"] == 161
    assert balance["rows_written"] == 150
    assert balance["rows_rejected"] == 11
    assert balance["quarantined"] == 11
    assert not checks["rejected_share"].passed  # 6.8 % are more than 5 %
    assert checks["rejected_share"].metadata["rejected_share"].value == pytest.approx(
        11 / 161, 1e-4
    )


def test_unreadable_object_does_not_stop_its_batch(runs: CampaignRuns) -> None:
    good = [("r1", "user_1", "Hello", "Sale", "2025-11-03 10:00:00.000000")]
    runs.land("a-wrong-header.csv", b"id,who,what\n1,2,3\n")
    runs.land("b.csv", good)
    (request,) = runs.tick()
    assert runs.run(request).success
    assert runs.batch(request.partition_key or "").state == "loaded_with_rejects"
    assert_same(end_state(runs.env), expected(good))
    with runs.bucket() as bucket:  # it stays where it is
        assert bucket.blob("campaigns/a-wrong-header.csv").exists()
