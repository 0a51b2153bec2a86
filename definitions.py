"""The code location: wires assets, checks, jobs, sensors and resources together.

Belongs here: wiring, and nothing else. Does not: any behaviour; it is the only module that knows
all the others.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import dagster as dg

# Dagster's own modules stay for good: the collector need not walk them while ours are loaded (that
# is a third of the time), nor write to their pages in forked steps.
gc.freeze()

from assets.campaigns import assets as campaigns_assets
from assets.campaigns import checks as campaigns_checks
from assets.campaigns import sinks as campaigns_sinks
from assets.campaigns.settings import CampaignsSettings
from assets.music import assets as music_assets
from assets.music import checks as music_checks
from assets.music import table_checks as music_table_checks
from assets.music.gold import assets as music_gold
from assets.music.lyrics import assets as music_lyrics
from assets.music.search import assets as music_search
from assets.music.settings import MusicSettings
from assets.music.silver import assets as music_silver
from assets.reading import sources as reading_sources
from assets.reading.affinity import assets as reading_affinity
from assets.reading.affinity import checks as reading_affinity_checks
from assets.reading.carriers import assets as reading_dataflow
from assets.reading.history import assets as reading_history
from assets.reading.session import assets as reading_session
from assets.reading.session import checks as reading_checks
from assets.reading.settings import ReadingSettings
from jobs.campaigns import campaigns_audit_job, campaigns_audit_schedule, campaigns_job
from jobs.executor import guarded_executor
from jobs.maintenance import maintenance_job, maintenance_schedule
from jobs.music import music_job, music_raw_sweep_job, music_raw_sweep_schedule
from jobs.music_audit import music_audit_job, music_audit_schedule
from jobs.music_lyrics import music_lyrics_retry_job, music_lyrics_retry_schedule
from jobs.reading import (
    reading_audit_job,
    reading_audit_schedule,
    reading_history_job,
    reading_stream_job,
)
from jobs.reading_affinity import (
    reading_affinity_audit_job,
    reading_affinity_audit_schedule,
    reading_affinity_job,
)
from jobs.reading_dataflow import reading_dataflow_job, reading_dataflow_schedule
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.dataflow import DataflowResource
from resources.environment import apply_defaults, chosen_pipelines
from resources.gcs import GcsResource
from resources.lyrics_service import LyricsServiceResource
from resources.milvus import MilvusResource
from resources.minio import MinioResource
from resources.mongo import MongoResource
from resources.musicbrainz import MusicBrainzResource
from resources.neo4j import Neo4jResource
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.pubsub_counts import PubSubCountsResource
from resources.typesense import TypesenseResource
from sensors.campaigns import campaigns_gcs_sensor
from sensors.music import music_minio_sensor
from sensors.outcomes import batch_run_canceled, batch_run_failed
from sensors.reading import reading_history_sensor
from sensors.reading_affinity import reading_affinity_automation
from sensors.reading_session import reading_session_sensor
from sensors.reaper import dead_run_reaper


def build_resources() -> dict[str, Any]:
    """Every resource; its variables are read when a run or a tick first needs them."""
    env = dg.EnvVar
    return {
        "postgres": PostgresResource(url=env("POSTGRES_URL")),
        "gcs": GcsResource(project=env("GOOGLE_CLOUD_PROJECT")),
        "bigquery": BigQueryResource(
            project=env("GOOGLE_CLOUD_PROJECT"), api_endpoint=env("BIGQUERY_API_ENDPOINT")
        ),
        "mongo": MongoResource(uri=env("MONGO_URI")),
        "neo4j": Neo4jResource(
            uri=env("NEO4J_URI"),
            user=env("NEO4J_USER"),
            password=env("NEO4J_PASSWORD"),
            database=env("NEO4J_DATABASE"),
        ),
        "milvus": MilvusResource(uri=env("MILVUS_URI"), token=env("MILVUS_TOKEN")),
        "openai": OpenAIResource(
            base_url=env("OPENAI_BASE_URL"),
            api_key=env("OPENAI_API_KEY"),
            embedding_model=env("OPENAI_EMBEDDING_MODEL"),
        ),
        "campaigns": CampaignsSettings(
            bucket=env("CAMPAIGNS_BUCKET"),
            prefix=env("CAMPAIGNS_PREFIX"),
            quarantine_bucket=env("QUARANTINE_BUCKET"),
            mongo_database=env("CAMPAIGNS_MONGO_DATABASE"),
            mongo_collection=env("CAMPAIGNS_MONGO_COLLECTION"),
            milvus_messages=env("CAMPAIGNS_MILVUS_MESSAGES"),
            milvus_profiles=env("CAMPAIGNS_MILVUS_PROFILES"),
            dataset=env("CAMPAIGNS_DATASET"),
        ),
        "minio": MinioResource(
            endpoint=env("MINIO_ENDPOINT"),
            access_key=env("MINIO_ACCESS_KEY"),
            secret_key=env("MINIO_SECRET_KEY"),
        ),
        "typesense": TypesenseResource(url=env("TYPESENSE_URL"), api_key=env("TYPESENSE_API_KEY")),
        "lyrics_service": LyricsServiceResource(url=env("MUSIC_LYRICS_URL")),
        "musicbrainz": MusicBrainzResource(
            url=env("MUSIC_MUSICBRAINZ_URL"),
            user_agent=env("MUSIC_MUSICBRAINZ_USER_AGENT"),
            requests_per_second=env.int("MUSIC_MUSICBRAINZ_PER_SECOND"),
        ),
        "music": MusicSettings(
            raw_bucket=env("MUSIC_RAW_BUCKET"),
            raw_prefix=env("MUSIC_RAW_PREFIX"),
            processed_bucket=env("MUSIC_PROCESSED_BUCKET"),
            quarantine_bucket=env("MUSIC_QUARANTINE_BUCKET"),
            raw_remove=env("RAW_REMOVE"),
            typesense_collection=env("MUSIC_TYPESENSE_COLLECTION"),
            milvus_lyrics=env("MUSIC_MILVUS_LYRICS"),
        ),
        "bigquery_write": BigQueryWriteResource(
            project=env("GOOGLE_CLOUD_PROJECT"), grpc_endpoint=env("BIGQUERY_GRPC_ENDPOINT")
        ),
        "pubsub": PubSubResource(
            project=env("GOOGLE_CLOUD_PROJECT"), emulator_host=env("PUBSUB_EMULATOR_HOST")
        ),
        "pubsub_counts": PubSubCountsResource(url=env("PUBSUB_COUNTS_URL")),
        "dataflow": DataflowResource(
            project=env("GOOGLE_CLOUD_PROJECT"),
            region=env("READING_DATAFLOW_REGION"),
            temp_location=env("READING_DATAFLOW_TEMP"),
            endpoint=env("READING_DATAFLOW_ENDPOINT"),
        ),
        "reading": ReadingSettings(
            dataset=env("READING_DATASET"),
            bucket=env("READING_BUCKET"),
            prefix=env("READING_PREFIX"),
            quarantine_bucket=env("QUARANTINE_BUCKET"),
            interaction_topic=env("READING_INTERACTION_TOPIC"),
            interaction_subscription=env("READING_INTERACTION_SUBSCRIPTION"),
            interaction_dead_topic=env("READING_INTERACTION_DEAD_TOPIC"),
            meta_topic=env("READING_META_TOPIC"),
            meta_subscription=env("READING_META_SUBSCRIPTION"),
            meta_dead_topic=env("READING_META_DEAD_TOPIC"),
            stream=env("READING_STREAM"),
            merge_milliseconds=env.int("READING_MERGE_MILLISECONDS"),
            session_seconds=env.int("READING_SESSION_SECONDS"),
            max_attempts=env.int("READING_MAX_ATTEMPTS"),
        ),
    }


@dataclass(frozen=True, slots=True)
class Pack:
    """What one pipeline brings into the code location."""

    assets: Sequence[ModuleType]
    checks: Sequence[ModuleType]
    jobs: Sequence[Any]
    schedules: Sequence[dg.ScheduleDefinition]
    sensors: Sequence[dg.SensorDefinition]


PACKS: Mapping[str, Pack] = {
    "campaigns": Pack(
        assets=(campaigns_assets, campaigns_sinks),
        checks=(campaigns_checks,),
        jobs=(campaigns_job, campaigns_audit_job),
        schedules=(campaigns_audit_schedule,),
        sensors=(campaigns_gcs_sensor,),
    ),
    "music": Pack(
        assets=(music_assets, music_silver, music_lyrics, music_gold, music_search),
        checks=(music_checks, music_table_checks),
        jobs=(music_job, music_audit_job, music_lyrics_retry_job, music_raw_sweep_job),
        schedules=(music_audit_schedule, music_lyrics_retry_schedule, music_raw_sweep_schedule),
        sensors=(music_minio_sensor,),
    ),
    "reading": Pack(
        assets=(
            reading_sources,
            reading_session,
            reading_history,
            reading_affinity,
            reading_dataflow,
        ),
        checks=(reading_checks, reading_affinity_checks),
        jobs=(
            reading_stream_job,
            reading_history_job,
            reading_affinity_job,
            reading_dataflow_job,
            reading_audit_job,
            reading_affinity_audit_job,
        ),
        schedules=(
            reading_audit_schedule,
            reading_affinity_audit_schedule,
            reading_dataflow_schedule,
        ),
        sensors=(reading_session_sensor, reading_history_sensor, reading_affinity_automation),
    ),
}


def build_defs(
    *,
    pipelines: Sequence[str] | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The code location with these pipelines, or those that QUINTET_PIPELINES names.

    Tests and commands replace resources by name. Raises
    resources.environment.UnknownPipelineError.
    """
    apply_defaults()
    names = chosen_pipelines() if pipelines is None else tuple(pipelines)
    packs = [PACKS[name] for name in names]
    return dg.Definitions(
        assets=dg.load_assets_from_modules(
            [module for pack in packs for module in pack.assets], include_specs=True
        ),
        asset_checks=dg.load_asset_checks_from_modules(
            [module for pack in packs for module in pack.checks]
        ),
        jobs=[*(job for pack in packs for job in pack.jobs), maintenance_job(names)],
        schedules=[*(one for pack in packs for one in pack.schedules), maintenance_schedule],
        sensors=[
            *(sensor for pack in packs for sensor in pack.sensors),
            batch_run_failed,
            batch_run_canceled,
            dead_run_reaper,
        ],
        resources={**build_resources(), **(resource_overrides or {})},
        executor=guarded_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return build_defs()
