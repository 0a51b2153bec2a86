"""The asset as Dagster runs it, over songs that silver loaded, and silver again afterwards."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.music.lyrics.assets import song_lyrics
from assets.music.settings import MusicSettings
from assets.sinks.result import HOLDS_BATCH
from local import music_answers
from resources.minio import MinioResource
from tests.integration.music.lyrics_world import BATCH, SERVERS, LyricsWorld, genre_of
from tests.integration.music.silver_world import SilverWorld, record

pytestmark = pytest.mark.servers(*SERVERS)

SETTINGS = MusicSettings(
    raw_bucket="raw",
    raw_prefix="",
    processed_bucket="processed",
    quarantine_bucket="quarantine",
    raw_remove="never",
    typesense_collection="songs",
    milvus_lyrics="lyrics",
)

GENRES = "SELECT title, nullif(genre_key, 'Unknown member') FROM music.fact_song"


def ledger(world: LyricsWorld) -> None:
    """The batch as validation leaves it."""
    world.change(
        "INSERT INTO landing.batch (batch_id, source, pipeline, state, objects, bytes, created_at,"
        " validated_at) VALUES (%s, 'music_minio', 'music', 'requested', 1, 1, now(), now())",
        BATCH,
    )
    world.change(
        "INSERT INTO landing.batch_sink (batch_id, sink) VALUES (%s, 'song_lyrics')", BATCH
    )
    world.change("INSERT INTO landing.staged_part VALUES (%s, 0, 'staged', 1, 1, 'digest')", BATCH)


def run(world: LyricsWorld, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("music_batches", [BATCH])
    services = world.services()
    return dg.materialize(
        [song_lyrics],
        partition_key=BATCH,
        instance=instance,
        raise_on_error=False,
        resources={
            "postgres": services.postgres,
            "minio": MinioResource(endpoint="http://127.0.0.1:9", access_key="x", secret_key="x"),
            "music": SETTINGS,
            "lyrics_service": services.lyrics,
            "musicbrainz": services.musicbrainz,
        },
    )


def test_silver_and_lookups_agree(env):
    world, silver = LyricsWorld(env), SilverWorld(env["POSTGRES_URL"])
    ledger(world)
    names = [f"Artist {number}" for number in range(12)]
    rows = [
        record("song_list", name, artist_name=name, title=f"Song {name}", album="Album")
        for name in names
    ]
    rows.append(record("extract", "own", artist_name=names[0], title="Own", genre="Polka"))
    rows.append(record("lyrics", "text", artist_name="X", title="Y", lyrics_text="by a file"))
    silver.load(*rows, batch=BATCH)

    with dg.DagsterInstance.ephemeral() as instance:
        result = run(world, instance)
        assert result.success
        (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (HOLDS_BATCH, True)
    (event,) = result.get_asset_materialization_events()
    shown = {k: v.value for k, v in event.materialization.metadata.items()}
    assert shown["found"] + shown["missing"] == 14
    assert shown["lyrics_asked"] == 13, "one text came from a file"
    assert world.query("SELECT state FROM landing.batch_sink") == [("done",)]

    found = dict(world.query(GENRES))
    expected = {f"Song {name}": genre_of(music_answers.mbid_of(name)) for name in names}
    unknown = genre_of(music_answers.mbid_of("X"))
    assert found == {**expected, "Own": "polka", "Y": unknown}
    assert sum(genre is not None for genre in expected.values()) > 3

    before, texts = silver.hashes(), world.stored()
    again = [{**row, "seq": 2} for row in rows]
    silver.load(*again, batch="20261122T120000Z-0003")
    assert silver.hashes() == before
    assert world.stored() == texts
    silver.load({**rows[0], "seq": 3, "row_hash": "other", "tempo": 100.0}, batch="x")
    changed = {key for key, row_hash in silver.hashes().items() if before[key] != row_hash}
    assert len(changed) == 1
    assert dict(world.query(GENRES)) == found
    assert world.stored() == texts


def test_a_service_that_is_down_fails_no_batch(env):
    world = LyricsWorld(env)
    ledger(world)
    world.add_many(5, genre=None)
    world.admin.set_faults(rates={"500": 1.0})
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(world, instance)
    assert result.success
    assert set(world.statuses().values()) == {"failed"}
    assert world.query("SELECT DISTINCT status FROM music.artist_genre_lookup") == [("failed",)]
    assert world.query("SELECT state FROM landing.batch_sink") == [("done",)]
