"""Every system's resource, as the variables configure it.

Belongs here: which resource takes which variables, and under which name assets ask for it. Does
not: what a resource is (a module each), or a pipeline's own settings.
"""

from __future__ import annotations

from typing import Any

import dagster as dg

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

#: Dagster does not export the class of what ``EnvVar.int`` returns.
_INT = type(dg.EnvVar.int(""))


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


class NotSetError(LookupError):
    """A variable that a resource needs is not set."""


def configured(name: str) -> Any:
    """One of them with its variables read, for a process that is no run's and no tick's.

    Dagster's own way makes an instance, with a database, for each. Raises NotSetError.
    """
    found: dg.ConfigurableResource[Any] = build_resources()[name]
    kind = type(found)
    return kind(**{field: _value(getattr(found, field)) for field in kind.model_fields})


def _value(told: Any) -> Any:
    if not isinstance(told, dg.EnvVar | _INT):
        return told
    value = told.get_value()
    if value is None:
        raise NotSetError(f"{told.env_var_name} is not set")
    return value
