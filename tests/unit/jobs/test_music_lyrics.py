"""The retry job without a server: who else may write beside it, and that its parts fit."""

from __future__ import annotations

import dagster as dg
from dagster._core.execution.api import create_execution_plan

from assets.frame.execution import WRITER_TAG
from assets.music.lyrics.assets import song_lyrics
from assets.music.lyrics.retry_job import music_lyrics_retry_job, music_lyrics_retry_schedule
from assets.music.pipeline import MUSIC
from assets.music.settings import MusicSettings
from definitions import build_defs
from jobs.executor import guarded_executor, writer_of
from resources.lyrics_service import LyricsServiceResource
from resources.milvus import MilvusResource
from resources.musicbrainz import MusicBrainzResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource


def bound():
    """The job in a code location that could load it."""
    resources = {
        "postgres": PostgresResource(url="postgresql://nowhere/x"),
        "lyrics_service": LyricsServiceResource(url=""),
        "musicbrainz": MusicBrainzResource(url="", user_agent=""),
        "typesense": TypesenseResource(url="http://nowhere", api_key="x"),
        "milvus": MilvusResource(uri="http://nowhere", token=""),
        "openai": OpenAIResource(base_url="http://nowhere", api_key="x", embedding_model="m"),
        "music": MusicSettings(
            **{name: "x" for name in MusicSettings.model_fields if name != "raw_remove"},
            raw_remove="never",
        ),
    }
    return dg.Definitions(
        jobs=[music_lyrics_retry_job],
        schedules=[music_lyrics_retry_schedule],
        resources=resources,
    )


def test_the_retry_never_writes_beside_a_batch():
    job = bound().resolve_job_def("music_lyrics_retry")
    assert writer_of(create_execution_plan(job)) == "music"
    assert build_defs().resolve_job_def("music_lyrics_retry").executor_def is guarded_executor
    assert job.tags[WRITER_TAG] == "music"
    assert int(job.tags["dagster/max_runtime"]) > 0


def test_the_schedule_starts_the_retry_by_itself():
    schedule = bound().get_repository_def().get_schedule_def(music_lyrics_retry_schedule.name)
    assert schedule.job_name == "music_lyrics_retry"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_asset_is_what_the_pipeline_says():
    assert song_lyrics.key == MUSIC.key("song_lyrics")
    assert song_lyrics.asset_deps[song_lyrics.key] == {MUSIC.key("silver_songs")}
    names = {spec.name for spec in song_lyrics.check_specs}
    assert names == set(MUSIC.checks["song_lyrics"])
