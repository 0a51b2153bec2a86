"""The scheduled retry as Dagster runs it: when it starts, and that gold and search follow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import dagster as dg
import pytest

from assets.embeddings import Space
from assets.music.lyrics.retry_job import music_lyrics_retry_job, music_lyrics_retry_schedule
from assets.music.search import lyrics_vectors
from assets.music.settings import MusicSettings
from resources.milvus import MilvusResource
from resources.openai import OpenAIResource
from resources.typesense import TypesenseResource
from tests.integration.music.lyrics_world import SERVERS, LyricsWorld, song


@pytest.fixture
def world(env: dict[str, str]) -> LyricsWorld:
    return LyricsWorld(env)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    # One that a schedule's context can refer to.
    with dg.instance_for_test() as instance:
        yield instance


def evaluated(world: LyricsWorld, instance: dg.DagsterInstance) -> str:
    """The schedule's reason to skip, or "run"."""
    services = world.services()
    # Left to the garbage collector, it would make this instance the current one once it is gone.
    with dg.build_schedule_context(
        instance=instance,
        resources={
            "postgres": services.postgres,
            "lyrics_service": services.lyrics,
            "musicbrainz": services.musicbrainz,
        },
    ) as context:
        answer = music_lyrics_retry_schedule(context)
    return "run" if isinstance(answer, dg.RunRequest) else str(answer.skip_message)


@pytest.mark.servers(*SERVERS)
def test_a_run_starts_only_when_there_is_something_to_do(world, instance):
    assert "Nothing is due" in evaluated(world, instance)
    world.add("s", *song(there=True), genre="rock")
    world.enrich()
    assert "Nothing is due" in evaluated(world, instance)
    world.change("INSERT INTO music.lyrics_changed (song_key) VALUES ('s')")
    assert evaluated(world, instance) == "run"
    world.change("DELETE FROM music.lyrics_changed")
    world.change(
        "UPDATE music.song_lyrics SET status = 'failed', text = NULL,"
        " next_attempt_at = clock_timestamp() + interval '1 minute'"
    )
    assert "Nothing is due" in evaluated(world, instance)
    world.change("UPDATE music.song_lyrics SET next_attempt_at = clock_timestamp()")
    assert evaluated(world, instance) == "run"
    run = instance.create_run_for_job(music_job())
    assert "has not ended" in evaluated(world, instance)
    instance.report_run_canceled(run)
    assert evaluated(world, instance) == "run"


def music_job() -> dg.JobDefinition:
    """A job of the retry's name, for a run of it."""

    @dg.op
    def nothing() -> None:
        """Do nothing."""

    @dg.job(name=music_lyrics_retry_job.name)
    def job() -> None:
        nothing()

    return job


@pytest.mark.servers(*SERVERS, "typesense", "milvus", "openai")
def test_gold_and_search_follow_what_the_retry_finds(env, world, instance):
    services = world.services()
    openai = OpenAIResource(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        embedding_model=env["OPENAI_EMBEDDING_MODEL"],
    )
    milvus = MilvusResource(uri=env["MILVUS_URI"], token="")
    typesense = TypesenseResource(url=env["TYPESENSE_URL"], api_key=env["TYPESENSE_API_KEY"])
    settings = MusicSettings(
        **{name: "unused" for name in MusicSettings.model_fields if "remove" not in name}
        | {
            "typesense_collection": env["MUSIC_TYPESENSE_COLLECTION"],
            "milvus_lyrics": env["MUSIC_MILVUS_LYRICS"],
        },
        raw_remove="never",
    )
    world.add("s", *song(there=True), genre="rock")
    world.admin.set_faults(rates={"401": 1.0})
    world.enrich()
    world.admin.end_faults()
    world.change("UPDATE music.song_lyrics SET next_attempt_at = clock_timestamp()")

    job = dg.Definitions(
        jobs=[music_lyrics_retry_job],
        resources={
            "postgres": services.postgres,
            "lyrics_service": services.lyrics,
            "musicbrainz": services.musicbrainz,
            "typesense": typesense,
            "milvus": milvus,
            "openai": openai,
            "music": settings,
        },
    ).resolve_job_def(music_lyrics_retry_job.name)
    result = job.execute_in_process(instance=instance)
    assert result.success
    assert world.stored() == world.expected()
    assert world.noted() == set()
    assert world.query("SELECT lyrics_status, has_lyrics FROM music.song_details") == [
        ("found", True)
    ]
    name = env["MUSIC_TYPESENSE_COLLECTION"]
    with typesense.client() as client:
        found = client.collections[name].documents.search({"q": "*", "query_by": "title"})
    assert [hit["document"]["lyrics"] for hit in found["hits"]] == [world.expected()["s"][1]]
    with closing(milvus.client()) as client:
        space = Space(env["OPENAI_EMBEDDING_MODEL"])
        lyrics_vectors.store(client, env["MUSIC_MILVUS_LYRICS"], space)
        assert lyrics_vectors.songs(client, env["MUSIC_MILVUS_LYRICS"]) == 1
