"""Files of every format through bronze: counted, archived, quarantined, repeatable."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assets.music.bronze import archive, parallel_reading
from samples import music as samples
from tests.integration.music.bronze_world import BronzeWorld, minio_of, next_second

pytestmark = pytest.mark.servers("postgres", "s3")


@pytest.fixture
def world(env) -> BronzeWorld:
    return BronzeWorld(env)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def song(title: str, **fields: object) -> dict[str, object]:
    return {
        "title": title, "artist": "A", "album": "B", "duration": 100.0, "artist_location": "",
        "tempo": 100.0, "key": 1, "loudness": -5.0, "mode": 1, "time_signature": 4,
        "lyrics": None, **fields,
    }  # fmt: skip


def as_list(*songs: dict[str, object]) -> bytes:
    return json.dumps(songs).encode()


@pytest.mark.parametrize("processes", [1, 2])
def test_every_format_is_read_counted_and_archived(world, tmp_path, monkeypatch, processes):
    monkeypatch.setattr(parallel_reading, "FEWEST_OBJECTS", 1)
    manifest = samples.write(tmp_path, seed=3)
    objects = files_below(tmp_path)
    formats: Counter[str] = Counter()
    batch = world.batch(objects)
    access = minio_of(world.env).access if processes > 1 else None
    result = world.validate(batch, formats=formats, access=access)
    figures: Any = manifest.as_json()

    readable = {key: one for key, one in manifest.files.items() if one.reason is None}
    refused = {key: one for key, one in manifest.files.items() if one.reason}
    outcomes = world.outcomes(batch)
    assert {k: v for k, v in outcomes.items() if v[0] == "rejected"} == {
        key: ("rejected", one.reason, 0, 0) for key, one in refused.items()
    }
    assert {key: outcomes[key][2] for key in readable} == {k: o.rows for k, o in readable.items()}
    assert result.rows.read == figures["rows"]
    assert result.rows.rejected == sum(figures["rows_rejected"].values()) + figures["duplicates"]
    files_of_plays = [one for one in readable.values() if one.pairs]
    others = figures["records"] - len(files_of_plays)
    assert result.rows.written == others + figures["plays"]
    assert result.rows.superseded == figures["plays_superseded"] == 1
    assert len(world.records()) == figures["records"]
    expected = Counter(figures["rows_rejected"]) + Counter(figures["files_refused"])
    expected["duplicate_record_key"] += figures["duplicates"]
    assert Counter(result.reasons) == expected
    assert len(world.rejects(batch)) == expected.total()
    rows_by_format = Counter()
    for one in readable.values():
        rows_by_format[one.kind] += one.rows - one.rejects.total() - one.repeated
    assert formats == rows_by_format

    staged = world.staged(batch)
    assert staged["record_key"].n_unique() == len(staged) == figures["records"]
    assert set(staged["source"].str.extract(r"music-raw-\w+/(.*)#")) <= set(readable)

    assert world.copies() == {key: objects[key] for key in readable}
    assert world.contents(world.raw) == objects, "nothing leaves raw before silver"
    noted = world.query("SELECT processed_key, sha256, removal FROM music.archived_object")
    digests = {key: hashlib.sha256(objects[key]).hexdigest() for key in readable}
    assert {(key.split("/", 1)[1].rpartition("/")[0], digest) for key, digest, _ in noted} == set(
        digests.items()
    )
    for key, digest, removal in noted:
        assert removal is None
        assert world.processed.metadata(key) == {"sha256": digest}


def test_a_second_validation_stages_the_same_and_reads_no_file(world, tmp_path, monkeypatch):
    samples.write(tmp_path, seed=4, songs=16)
    batch = world.batch(files_below(tmp_path))
    first = world.validate(batch)
    monkeypatch.setattr(archive, "fetch", lambda *_, **__: pytest.fail("a file was opened"))
    again = world.validate(batch)
    assert again.mode == "rewrite"
    assert (again.parts, again.rows, again.reasons) == (first.parts, first.rows, first.reasons)


def test_a_replay_after_removal_reads_the_copies(world, tmp_path):
    samples.write(tmp_path, seed=5, songs=16)
    objects = files_below(tmp_path)
    batch = world.batch(objects)
    first = world.load(batch)
    left = world.contents(world.raw)
    assert left == {k: objects[k] for k, v in world.outcomes(batch).items() if v[0] == "rejected"}
    before = world.staged(batch), world.records()
    for part in first.parts:
        world.processed.delete(part.key)

    again = world.validate(batch)

    assert again.mode == "rewrite"
    assert [p.rows for p in again.parts] == [p.rows for p in first.parts]
    after = world.staged(batch), world.records()
    assert after[0].equals(before[0])
    assert after[1] == before[1]
    assert world.contents(world.raw) == left
    states = world.query("SELECT DISTINCT state FROM landing.batch_sink WHERE batch_id = %s", batch)
    assert states == [("pending",)], "every sink takes it again"


def test_two_versions_of_a_file_with_the_same_record(world):
    first = world.batch({"a.json": as_list(song("One"), song("Two"))})
    world.load(first)
    one = world.records()
    next_second()
    second = world.batch({"a.json": as_list(song("One", year=1999), song("Two"))})
    result = world.load(second)
    assert (result.rows.written, result.rows.unchanged) == (1, 1)
    two = world.records()
    assert set(two) == set(one)
    changed = {key for key in one if one[key][0] != two[key][0]}
    assert len(changed) == 1
    replaced = world.query("SELECT key FROM music.replaced WHERE batch_id = %s", second)
    assert {key for (key,) in replaced} == changed

    # The older batch, replayed, says nothing of what was replaced since.
    world.processed.delete(world.query(
        "SELECT key FROM landing.staged_part WHERE batch_id = %s", first)[0][0])  # fmt: skip
    replay = world.validate(first)
    assert [p.rows for p in replay.parts] == [1]
    assert world.records() == two
    assert world.contents(world.raw) == {}


def test_the_same_song_in_two_files_of_one_batch(world):
    batch = world.batch(
        {
            "1.json": as_list(song("One", year=1999)),
            "2.json": as_list(song("One", year=2000), song("One", year=2001)),
        }
    )
    result = world.validate(batch)
    assert (result.rows.read, result.rows.written) == (3, 2)
    assert (result.rows.superseded, result.rows.rejected) == (0, 1)
    assert world.staged(batch)["year"].to_list() == [1999, 2001], "of each file, the later line"


def test_a_file_rewritten_with_the_same_content_leaves_raw_too(world):
    content = as_list(song("One"))
    world.load(world.batch({"a.json": content}))
    next_second()
    again = world.batch({"a.json": content})
    result = world.validate(again)
    assert (result.rows.written, result.rows.unchanged, result.parts) == (0, 1, ())
    states = world.query("SELECT state FROM landing.batch WHERE batch_id = %s", again)
    assert states == [("loaded",)]
    assert world.remove(again).removed == 1
    assert world.contents(world.raw) == {}
    assert len(world.contents(world.processed, "objects/a.json/")) == 2


def test_what_is_gone_or_was_replaced_is_no_copy(world):
    gone = world.raw.put("gone.json", as_list(song("One")))
    old = world.raw.put("old.json", as_list(song("Two")))
    world.raw.delete("gone.json")
    world.raw.put("old.json", as_list(song("Two", year=1999)))
    batch = world.batch_of([gone, old])
    world.validate(batch)
    assert {key: found[0] for key, found in world.outcomes(batch).items()} == {
        "gone.json": "gone", "old.json": "superseded",
    }  # fmt: skip
    assert world.copies() == {}
    assert world.query("SELECT * FROM music.archived_object") == []


def test_keys_that_are_hard_to_spell(world):
    keys = ["a b/c+d.json", "é/日本 語.json", "100%&?#=;.json", "d/'\"<>.json", "-.json"]
    objects = {key: as_list(song(f"Song {n}")) for n, key in enumerate(keys)}
    world.load(world.batch(objects))
    assert world.copies() == objects
    assert world.contents(world.raw) == {}


MAPPING = "mxm/mxm_reverse_mapping.txt"


@pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="the real files")
def test_the_real_files(world):
    """The dataset's own table of stems, beside its bags of words, tells of no song."""
    data = Path(os.environ["QUINTET_DATA_DIR"]) / "music"
    objects = files_below(data)
    batch = world.batch(objects)
    world.load(batch)
    outcomes = world.outcomes(batch)
    refused = {key for key, found in outcomes.items() if found[0] == "rejected"}
    assert len([key for key in objects if key.startswith("h5/")]) == 17
    assert len([key for key in objects if key.startswith("song_json/")]) == 71
    for folder in ("h5/", "song_json/", "mxm/", "hymns/"):
        assert {key for key in refused if key.startswith(folder)} <= {MAPPING}
    assert [key for key in refused if key.startswith("h5_bad/")] != []
    assert set(world.contents(world.raw)) == refused
    assert sum(found[2] for key, found in outcomes.items() if key.startswith("h5/")) == 17
    assert sum(found[2] for key, found in outcomes.items() if key.startswith("song_json/")) == 71
