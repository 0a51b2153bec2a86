"""A code location with the streaming session and what keeps it alive, and nothing else.

Belongs here: wiring for one test; a history or an answer would start runs of its own.
"""

from __future__ import annotations

import dagster as dg

from assets.reading import session, session_checks, sources
from assets.reading.settings import ReadingSettings
from jobs.executor import guarded_executor
from jobs.reading import reading_audit_job, reading_stream_job
from resources.bigquery import BigQueryResource
from resources.bigquery_write import BigQueryWriteResource
from resources.environment import apply_defaults
from resources.postgres import PostgresResource
from resources.pubsub import PubSubResource
from resources.pubsub_counts import PubSubCountsResource
from sensors.reading_session import reading_session_sensor

apply_defaults()

env = dg.EnvVar

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([session, sources], include_specs=True),
    asset_checks=dg.load_asset_checks_from_modules([session_checks]),
    jobs=[reading_stream_job, reading_audit_job],
    sensors=[reading_session_sensor],
    executor=guarded_executor,
    resources={
        "postgres": PostgresResource(url=env("POSTGRES_URL")),
        "bigquery": BigQueryResource(
            project=env("GOOGLE_CLOUD_PROJECT"), api_endpoint=env("BIGQUERY_API_ENDPOINT")
        ),
        "bigquery_write": BigQueryWriteResource(
            project=env("GOOGLE_CLOUD_PROJECT"), grpc_endpoint=env("BIGQUERY_GRPC_ENDPOINT")
        ),
        "pubsub": PubSubResource(
            project=env("GOOGLE_CLOUD_PROJECT"), emulator_host=env("PUBSUB_EMULATOR_HOST")
        ),
        "pubsub_counts": PubSubCountsResource(),
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
    },
)
