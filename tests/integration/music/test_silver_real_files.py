"""The real files through the real readers into silver, against the rules and counts of our own."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import polars as pl
import pytest

from assets.music.bronze.formats.sniffing import read_records
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import UnreadableObject
from tests.integration.music.silver_oracle import state
from tests.integration.music.silver_world import SilverWorld

DATA = Path(os.environ.get("QUINTET_DATA_DIR", "/nonexistent")) / "music"
pytestmark = [
    pytest.mark.servers("postgres"),
    pytest.mark.skipif(not DATA.exists(), reason="about the real files of QUINTET_DATA_DIR"),
]


def read(path: Path, seq: int) -> list[dict[str, Any]]:
    """The records of a file; the last of each key, as validation keeps it."""
    from datetime import UTC, datetime

    key = str(path.relative_to(DATA))
    version = ObjectVersion("minio", "raw", key, "1", 1, datetime(2026, 1, 1, tzinfo=UTC))
    with path.open("rb") as stream:
        found = pl.concat(chunk.accepted for chunk in read_records(stream, version))
    return list({row["record_key"]: {**row, "seq": seq} for row in found.to_dicts()}.values())


@pytest.fixture(scope="module")
def files() -> list[list[dict[str, Any]]]:
    paths = sorted(p for p in DATA.rglob("*") if p.is_file() and "mxm" not in p.parts)
    found = []
    for seq, path in enumerate(paths, start=1):
        try:
            found.append(read(path, seq))
        except UnreadableObject:
            assert "h5_bad" in path.parts
    return found


@pytest.fixture
def world(env: dict[str, str]) -> SilverWorld:
    return SilverWorld(env["POSTGRES_URL"])


def of(files: list[list[dict[str, Any]]], *formats: str) -> list[dict[str, Any]]:
    return [row for rows in files for row in rows if row["format"] in formats]


def test_hdf5_and_json_together_are_72_songs(world, files):
    world.load(*of(files, "hdf5", "song_object"))
    ids = set()
    for path in (DATA / "h5").glob("*.h5"):
        with h5py.File(path) as file:
            ids.add(file["metadata/songs"]["song_id"][0].decode())
    assert len(ids) == 17
    ids |= {json.loads(p.read_text())["song_id"] for p in (DATA / "song_json").rglob("*.json")}
    assert set(world.hashes()) == ids
    assert len(ids) == 72


def test_all_files_make_the_same_state_in_any_order_and_company(world, files):
    everything = [row for rows in files for row in rows]
    hashes = []
    shuffled = files[:]
    random.Random(1).shuffle(shuffled)
    for batches in ([everything], [shuffled[n::4] for n in range(4)]):
        world.clear()
        for batch in batches:
            rows = batch if isinstance(batch[0], dict) else [row for rows in batch for row in rows]
            world.load(*rows)
        expected = state(world.current.values())
        found = world.state()
        for table, content in expected.items():
            assert found[table] == content, table
        hashes.append(world.hashes())
    assert hashes[0] == hashes[1]
    assert len({row["record_key"] for row in everything}) == len(world.current)


def test_genres_of_the_extract_are_counted_as_in_the_file(world, files):
    extract = of(files, "extract")
    world.load(*extract)
    expected = Counter(row["genre"].casefold() for row in extract if row["genre"])
    found = world.query(
        "SELECT genre_key, count(*) FROM music.fact_song JOIN music.dim_genre"
        " USING (genre_key) WHERE name <> 'Unknown' GROUP BY 1"
    )
    assert dict(found) == dict(expected)
    assert expected["rock"] > 500


def test_no_artist_is_there_under_a_name_and_under_an_id(world, files):
    world.load(*[row for rows in files for row in rows])
    twice = world.query(
        "SELECT lower(name), array_agg(artist_key) FROM music.dim_artist GROUP BY 1"
        " HAVING count(*) > 1 ORDER BY 1"
    )
    # Two ids of one name are two people, for all that is known.
    assert [name for name, keys in twice if any(key.startswith("fp-") for key in keys)] == []
    [(rick,)] = world.query("SELECT count(*) FROM music.dim_artist WHERE name = 'Rick Astley'")
    assert rick == 1
