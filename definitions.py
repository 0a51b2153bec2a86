"""The code location: wires assets, checks, jobs, sensors and resources together.

Belongs here: wiring, and nothing else. Does not: any behaviour; it is the only module that knows
all the others.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

# Dagster's own modules stay for good: the collector need not walk them while ours are loaded (that
# is a third of the time), nor write to their pages in forked steps.
gc.freeze()

from assets.frame.apart import require_apart
from assets.frame.checks import audits
from assets.frame.code_references import with_code_references
from assets.frame.declared import Pipeline
from assets.pipelines import apply_defaults, chosen_pipelines, declaration
from jobs.batches import audit_schedule, batch_job
from jobs.executor import guarded_executor
from jobs.maintenance import maintenance_job, maintenance_schedule
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.classifier import ClassifierResource
from resources.dataflow import DataflowResource
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
from resources.s3 import S3Resource
from resources.telegram import TelegramResource
from resources.typesense import TypesenseResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors.alerts import alert_delivery, run_alerts
from sensors.image_tasks import image_task_endings
from sensors.landed import landed_sensor
from sensors.outcomes import batch_run_canceled, batch_run_failed
from sensors.reaper import dead_run_reaper
from sensors.session import reading_session_sensor
from sensors.silence import schedule_watch, sensor_watch
from sensors.summary_batches import summary_batch_sensor
from sensors.trouble import trouble_alerts

#: Sensors that do not follow from a declaration, by pipeline.
OTHER_SENSORS: Mapping[str, Sequence[dg.SensorDefinition]] = {
    "reading": [reading_session_sensor],
    "domains": [summary_batch_sensor],
    "images": [image_task_endings],
}


def build_resources() -> dict[str, Any]:
    """Every system's resource; its variables are read when a run or a tick first needs them."""
    env = dg.EnvVar
    return {
        "postgres": PostgresResource(url=env("POSTGRES_URL")),
        "domains_source": PostgresResource(url=env("DOMAINS_SOURCE_URL")),
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
        "milvus": MilvusResource(
            uri=env("MILVUS_URI"), token=env("MILVUS_TOKEN"), index=env("MILVUS_INDEX")
        ),
        "openai": OpenAIResource(
            base_url=env("OPENAI_BASE_URL"),
            api_key=env("OPENAI_API_KEY"),
            embedding_model=env("OPENAI_EMBEDDING_MODEL"),
            organization=env("OPENAI_ORGANIZATION"),
            chat_concurrency=env.int("OPENAI_CONCURRENCY"),
            requests_per_minute=env.int("OPENAI_REQUESTS_PER_MINUTE"),
            tokens_per_minute=env.int("OPENAI_TOKENS_PER_MINUTE"),
        ),
        "minio": MinioResource(
            endpoint=env("MINIO_ENDPOINT"),
            access_key=env("MINIO_ACCESS_KEY"),
            secret_key=env("MINIO_SECRET_KEY"),
        ),
        "classifier": ClassifierResource(url=env("IMAGES_CLASSIFIER_URL")),
        "s3": S3Resource(endpoint=env("AWS_ENDPOINT_URL_S3"), region=env("AWS_REGION")),
        "telegram": TelegramResource(
            url=env("TELEGRAM_URL"),
            bot_token=env("TELEGRAM_BOT_TOKEN"),
            chat_id=env("TELEGRAM_CHAT_ID"),
        ),
        "webhook": WebhookResource(url=env("ALERT_WEBHOOK_URL"), token=env("ALERT_WEBHOOK_TOKEN")),
        "ui": UserInterfaceResource(url=env("QUINTET_UI_URL")),
        "typesense": TypesenseResource(url=env("TYPESENSE_URL"), api_key=env("TYPESENSE_API_KEY")),
        "lyrics_service": LyricsServiceResource(
            url=env("MUSIC_LYRICS_URL"), again_after_days=env.int("MUSIC_LYRICS_AGAIN_AFTER_DAYS")
        ),
        "musicbrainz": MusicBrainzResource(
            url=env("MUSIC_MUSICBRAINZ_URL"),
            user_agent=env("MUSIC_MUSICBRAINZ_USER_AGENT"),
            requests_per_second=env.int("MUSIC_MUSICBRAINZ_PER_SECOND"),
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
    }


def pipeline_defs(pipeline: Pipeline) -> dg.Definitions:
    """What a pipeline declares, and what follows from it."""
    own = pipeline.definitions()
    checks = audits(pipeline, own)
    return dg.Definitions(
        assets=[
            *with_code_references(own.assets or ()),
            *(files.landing_spec() for files in pipeline.landed),
        ],
        asset_checks=checks,
        jobs=[*(own.jobs or ()), *(batch_job(files) for files in pipeline.landed)],
        schedules=[*(own.schedules or ()), audit_schedule(pipeline, checks)],
        sensors=[
            *(own.sensors or ()),
            *(landed_sensor(files) for files in pipeline.landed),
            *OTHER_SENSORS.get(pipeline.name, ()),
        ],
    )


def build_defs(
    *,
    pipelines: Sequence[str] | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The code location with these pipelines, or those that QUINTET_PIPELINES names.

    Tests and commands replace resources by name. Raises assets.pipelines.UnknownPipelineError, and
    assets.frame.apart.OverlappingSourcesError when one object could belong to two sources.
    """
    apply_defaults()
    chosen = [declaration(name) for name in (pipelines or chosen_pipelines())]
    landed = [files for pipeline in chosen for files in pipeline.landed]
    require_apart(landed)
    settings = {one.name: one.settings.from_variables() for one in chosen}
    shared = dg.Definitions(
        jobs=[maintenance_job(landed)],
        schedules=[maintenance_schedule, sensor_watch],
        sensors=[
            batch_run_failed,
            batch_run_canceled,
            dead_run_reaper,
            schedule_watch,
            *run_alerts([one.name for one in chosen]),
            trouble_alerts(chosen),
            alert_delivery,
        ],
        resources={**build_resources(), **settings, **(resource_overrides or {})},
        executor=guarded_executor,
    )
    return dg.Definitions.merge(shared, *map(pipeline_defs, chosen))


@functools.cache
def code_location() -> dg.Definitions:
    """The code location, built once in a process: the run server's forks find it there."""
    return build_defs()


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads."""
    return code_location()
