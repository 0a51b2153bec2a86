"""Killed with -9 anywhere in a music run: the next attempt leaves every store as files say."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from resources.milvus import MilvusResource
from resources.typesense import TypesenseResource
from samples.music import Manifest, write
from tests.faults.batch_runs import default_variables
from tests.faults.killed_run import run_until_killed
from tests.faults.music_kills import POINTS
from tests.faults.music_runs import MUSIC, SERVERS, MusicRuns

pytestmark = pytest.mark.servers(*SERVERS)
KILLS = "tests.faults.music_kills"


@pytest.fixture
def runs(env: dict[str, str]) -> Iterator[MusicRuns]:
    with default_variables(), dg.DagsterInstance.ephemeral() as instance:
        yield MusicRuns(env, instance)


def landed(runs: MusicRuns, folder: Path, seed: int) -> Manifest:
    manifest = write(folder, seed=seed, songs=24)
    raw = runs.raw()
    for name in manifest.files:
        raw.put(name, io.BytesIO((folder / name).read_bytes()))
    return manifest


def indexed(runs: MusicRuns) -> tuple[set[str], set[str]]:
    """Song keys in Typesense and in Milvus, read with the clients alone."""
    env = runs.env
    with TypesenseResource(
        url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"]
    ).client() as t:
        lines = t.collections[env["MUSIC_TYPESENSE_COLLECTION"]].documents.export(
            {"include_fields": "id"}
        )
    documents = {line.split('"')[3] for line in lines.splitlines() if line}
    milvus = MilvusResource(uri=env["MILVUS_URI"], token="").client()
    name = env["MUSIC_MILVUS_LYRICS"]
    milvus.load_collection(name)
    rows = milvus.query(name, filter="", output_fields=["song_key"], limit=10_000)
    milvus.close()
    return documents, {row["song_key"] for row in rows}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_run_again(runs: MusicRuns, tmp_path: Path, point: str) -> None:
    manifest = landed(runs, tmp_path, seed=list(POINTS).index(point) + 1)
    figures = manifest.as_json()
    refused = {name for name, one in manifest.files.items() if one.reason}
    (request,) = runs.tick()
    batch_id = request.partition_key or ""

    assert run_until_killed(runs.env, MUSIC, request, point, of=KILLS) == -signal.SIGKILL

    assert runs.batch(batch_id).state == "running"  # nobody told the ledger
    in_raw = {version.key for version in runs.raw().list_page("", None, 1_000).objects}
    committed = runs.query("SELECT count(*) FROM music.fact_song") != [(0,)]
    assert committed == (not point.startswith(("bronze", "silver")))
    if not committed:
        assert in_raw == set(manifest.files)  # nothing leaves raw before silver has committed

    runs.offset += type(runs.offset)(seconds=1)
    assert runs.tick() == []  # its lock is free: a run that has just died, or one that starts
    runs.offset += type(runs.offset)(seconds=31)
    (again,) = runs.tick()
    assert again.run_key == f"{batch_id}/2"
    assert runs.run(again).success

    assert runs.batch(batch_id).state == "loaded_with_rejects"
    assert runs.query("SELECT count(*) FROM music.fact_song") == [(figures["songs"],)]
    assert runs.query("SELECT count(*) FROM music.record") == [(figures["records"],)]
    assert {v.key for v in runs.raw().list_page("", None, 1_000).objects} == refused
    documents, with_passages = indexed(runs)
    assert documents == {key for (key,) in runs.query("SELECT song_key FROM music.fact_song")}
    assert with_passages == {
        key for (key,) in runs.query("SELECT song_key FROM music.song_lyrics WHERE status='found'")
    }
    assert runs.query(
        "SELECT (SELECT count(*) FROM music.song_details),"
        " (SELECT count(*) FROM music.archived_object WHERE removal IS NULL)"
    ) == [(figures["songs"], 0)]
    assert runs.tick() == []
