"""Bronze and the emptying of raw as Dagster runs them: checks, figures, partitions, the sweep."""

from __future__ import annotations

import os

import dagster as dg
import psycopg
import pytest

from assets.music.pipeline import MUSIC, bronze_records, music_raw_sweep_job, raw_removals
from assets.music.settings import MusicSettings
from assets.music.silver.assets import silver_songs
from definitions import build_defs
from resources.configured import build_resources
from tests.integration.music.bronze_world import BronzeWorld, next_second
from tests.integration.music.test_bronze_files import as_list, song

pytestmark = pytest.mark.servers("postgres", "s3")

FILES = {
    "in/1.json": as_list(song("One"), song("Two", artist=6.5)),
    "in/2.json": as_list(song("3")),
}
REFUSED = {"in/no.txt": b"no song at all"}
STEPS = [dg.AssetKey(["music", name]) for name in ("bronze_records", "silver_songs")]
REMOVALS = dg.AssetKey(["music", "raw_removals"])


@pytest.fixture
def world(env, monkeypatch) -> BronzeWorld:
    for name in ("MUSIC_TYPESENSE_COLLECTION", "MUSIC_MILVUS_LYRICS"):
        monkeypatch.setenv(name, "unused")
    return BronzeWorld(env)


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


def resources():
    """Those that these steps need: the others' variables are not set here."""
    every = {**build_resources(), "music": MusicSettings.from_variables()}
    return {name: every[name] for name in ("postgres", "minio", "music")}


def run(instance, batch):
    instance.add_dynamic_partitions(MUSIC.partition_set, [batch])
    result = dg.materialize(
        [bronze_records, silver_songs, raw_removals],
        instance=instance,
        partition_key=batch,
        resources=resources(),
    )
    assert result.success
    return result


def metadata(result, key):
    (materialized,) = result.asset_materializations_for_node("__".join(key.path))
    return {name: value.value for name, value in materialized.metadata.items()}


def test_a_batch_is_read_committed_and_removed(world, instance):
    batch = world.batch({**FILES, **REFUSED})
    result = run(instance, batch)

    told = metadata(result, STEPS[0])
    assert (told["rows_read"], told["rows_written"], told["rows_rejected"]) == (3, 2, 1)
    assert (told["objects"], told["rows_song_list"], told["mode"]) == (3, 2, "deliver")
    assert told["rejected_by_reason"] == {"bad_text": 1, "unknown_format": 1}
    assert told["quarantine"].startswith(f"s3://{world.quarantine.bucket}/music/{batch}.parquet")
    assert "One" in told["preview"]
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert checks["rows_balance"].passed
    assert not checks["rejected_share"].passed, "a third"
    assert metadata(result, REMOVALS)["removed"] == 2
    assert world.contents(world.raw) == REFUSED
    assert world.query("SELECT count(*) FROM music.fact_song") == [(2,)]


def test_known_content_is_cheap_and_leaves_raw_too(world, instance):
    first = world.batch(FILES)
    run(instance, first)
    world.loaded(first)  # lyrics, gold and search are not run here
    next_second()
    again = world.batch({"in/2.json": FILES["in/2.json"]})
    result = run(instance, again)
    assert metadata(result, STEPS[0])["rows_unchanged"] == 1
    assert metadata(result, STEPS[1])["rows_written"] == 0
    assert metadata(result, REMOVALS)["removed"] == 1
    assert world.contents(world.raw) == {}


def test_never_means_never_until_a_sweep_is_told_otherwise(world, instance, monkeypatch):
    monkeypatch.setenv("RAW_REMOVE", "never")
    batch = world.batch(FILES)
    result = run(instance, batch)
    assert metadata(result, REMOVALS) == {"removed": 0, "raw_remove": "never"}
    assert sweep(instance) == {"removed": 0, "raw_remove": "never"}
    assert world.contents(world.raw) == FILES
    monkeypatch.setenv("RAW_REMOVE", "committed")
    told = sweep(instance)
    assert (told["removed"], told["unsafe"]) == (2, 0)
    assert world.contents(world.raw) == {}
    assert sweep(instance)["removed"] == 0


def sweep(instance):
    result = music_raw_sweep_job.execute_in_process(instance=instance, resources=resources())
    (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
    return {name: value.value for name, value in event.event_specific_data.metadata.items()}


def test_the_job_selects_all_but_the_bucket_and_the_audits():
    job = build_defs(pipelines=["music"]).get_repository_def().get_job("music")
    names = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
    assert "raw_landing" not in names
    assert names >= {"bronze_records", "silver_songs", "raw_removals", "song_lyrics"}
    checks = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    assert checks == {"rows_balance", "rejected_share", "holds_the_batch"}


def test_a_partition_added_by_hand_fails_at_once_with_one_sentence(world, instance):
    instance.add_dynamic_partitions(MUSIC.partition_set, ["2026-summer"])
    result = dg.materialize(
        [bronze_records],
        instance=instance,
        partition_key="2026-summer",
        resources=resources(),
        raise_on_error=False,
    )
    (failed,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    said = failed.event_specific_data.user_failure_data.description
    assert said == (
        "validation: nothing landed of the partition 2026-summer: partitions are added by "
        "`music_minio_sensor` when files arrive, not by hand."
    )
    assert "no batch" not in said
    with psycopg.connect(os.environ["POSTGRES_URL"]) as connection:
        count = connection.execute("SELECT count(*) FROM landing.batch").fetchone()
    assert count == (0,), "the ledger is as it was"
    assert instance.get_dynamic_partitions(MUSIC.partition_set) == [], "and so are the partitions"
