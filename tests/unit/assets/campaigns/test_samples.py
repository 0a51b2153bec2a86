from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter

from assets.campaigns.events import read_events
from samples.campaigns import COLUMNS, Shape, write
from tests import processes
from tests.memory_store import MemoryStore


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, Shape(rows=500), 1)
    write(tmp_path / "c", Shape(rows=500), 2)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_manifest_is_what_a_plain_recount_finds(tmp_path):
    figures = write(tmp_path / "a.csv", Shape(rows=2_000, users=300, zipf=1.1), 7).as_json()
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    users = Counter(row["user_id"] for row in rows)
    with_message = {row["user_id"] for row in rows if row["message"]}
    pairs = {(row["user_id"], row["campaign"]) for row in rows if row["campaign"]}
    assert figures["events"] == figures["accepted"] == len(rows) == 2_000
    assert figures["users"] == len(users)
    assert figures["part_of"] == sum(bool(row["campaign"]) for row in rows)
    assert figures["participated_in"] == len(pairs)
    assert figures["users_with_vector"] == len(with_message)
    assert figures["users_without_campaign"] == len(set(users) - {user for user, _ in pairs})
    assert figures["empty_messages"] == sum(not row["message"] for row in rows)
    assert figures["distinct_messages"] == len({r["message"] for r in rows if r["message"]})
    assert figures["users_with_several_events"] == sum(n > 1 for n in users.values())
    assert all(row["message"] for row in rows if row["campaign"])
    assert len({row["record_id"] for row in rows}) == len(rows)


def test_a_dirty_file_is_read_as_its_manifest_says(tmp_path):
    manifest = write(tmp_path / "a.csv", Shape(rows=100), 1, dirty=True)
    data = (tmp_path / "a.csv").read_bytes()
    chunks = list(read_events(io.BytesIO(data), MemoryStore().put("a.csv", data)))
    found = [pair for c in chunks for pair in c.rejected.select("line", "reason").iter_rows()]
    # Duplicates are decided later, among all rows of the object.
    assert found == [r for r in manifest.rejects if r[1] != "duplicate_record_id"]
    assert sum(len(c.accepted) for c in chunks) == 101
    assert manifest.lines == data.count(b"\n")
    assert manifest.events == 100


def test_the_command_writes_files_and_prints_the_manifest(tmp_path):
    printed = processes.output_of(
        [sys.executable, "-m", "samples", "campaigns", "--rows", "50", "--out", tmp_path]
    )
    figures = json.loads(printed)
    assert figures == json.loads((tmp_path / "manifest.json").read_text())
    with (tmp_path / "campaign_events.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == figures["events"] + 1 == 51
