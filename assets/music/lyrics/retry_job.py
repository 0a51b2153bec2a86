"""The job that asks again for lyrics and genres that no service gave so far, and its schedule.

Belongs here: when it runs and beside what it doesn't. Does not: whom it asks for what
(``assets.music.lyrics``).
"""

import dagster as dg

from assets.frame.execution import UNFINISHED, WRITER_TAG
from assets.music.pipeline import MUSIC
from assets.music.settings import MusicSettings
from resources.lyrics_service import LyricsServiceResource
from resources.milvus import MilvusResource
from resources.musicbrainz import MusicBrainzResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

JOB = "music_lyrics_retry"


class RetryConfig(dg.Config):
    """What one run is to do. The schedule leaves it as it is."""

    #: Ask again for everything that a service said it doesn't have.
    missing_again: bool = False


@dg.op(
    tags={WRITER_TAG: MUSIC.job},
    description="Asks for lyrics and genres that are due, at most 2,000 each, then brings gold and "
    "search to the songs that changed.",
)
def retry_lyrics(  # noqa: PLR0917  Dagster passes resources by position
    context: dg.OpExecutionContext,
    config: RetryConfig,
    postgres: PostgresResource,
    lyrics_service: LyricsServiceResource,
    musicbrainz: MusicBrainzResource,
    typesense: TypesenseResource,
    milvus: MilvusResource,
    openai: OpenAIResource,
    music: MusicSettings,
) -> None:
    """Songs whose change was noted and not followed, by a run that was killed, are followed too."""
    from assets.music.lyrics.enrichment import Services, enrich_due
    from assets.music.lyrics.following import Followers, follow

    services = Services(postgres, lyrics_service, musicbrainz)
    done = enrich_due(services, missing_again=config.missing_again)
    followers = Followers(postgres, typesense, milvus, openai, music)
    with postgres.connect(autocommit=True) as connection:
        followed = follow(connection, followers.all())
    context.add_output_metadata({**done.details(), "songs_followed": followed})


@dg.job(
    name=JOB,
    # Never beside a batch: the queue waits, and so does the lock that the executor takes.
    tags={WRITER_TAG: MUSIC.job, "dagster/max_retries": "0", "dagster/max_runtime": "3600"},
    description="Asks again for lyrics and genres that failed or were left over.",
)
def music_lyrics_retry_job() -> None:
    """One op, so that a failure names what failed."""
    retry_lyrics()


@dg.schedule(
    name="music_lyrics_retry_every_10_minutes",
    job=music_lyrics_retry_job,
    cron_schedule="5-55/10 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def music_lyrics_retry_schedule(
    context: dg.ScheduleEvaluationContext,
    postgres: PostgresResource,
    lyrics_service: LyricsServiceResource,
    musicbrainz: MusicBrainzResource,
) -> dg.RunRequest | dg.SkipReason:
    """A run costs seconds of interpreter start: none while there is nothing to ask or follow."""
    from assets.music.gold.recount import changed_songs
    from assets.music.lyrics.enrichment import Services, anything_due

    unfinished = dg.RunsFilter(job_name=JOB, statuses=list(UNFINISHED))
    if context.instance.get_run_ids(unfinished, limit=1):
        return dg.SkipReason("The run before has not ended.")
    with postgres.connect(autocommit=True) as connection:
        services = Services(postgres, lyrics_service, musicbrainz)
        if not changed_songs(connection) and not anything_due(connection, services):
            return dg.SkipReason("Nothing is due, and gold and search have followed.")
    return dg.RunRequest()
